// Stands in for the four functions of cuRAND that candle calls for each device.

int curandCreateGenerator(void **generator, int type) {
    *generator = generator;
    return type == 0;
}

int curandSetPseudoRandomGeneratorSeed(void *generator, unsigned long long seed) {
    return generator == 0 || seed == 0;
}

int curandSetStream(void *generator, void *stream) {
    return generator == 0 || stream == 0;
}

int curandDestroyGenerator(void *generator) {
    return generator == 0;
}
