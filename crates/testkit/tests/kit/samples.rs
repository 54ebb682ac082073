//! Tests that do what tests should not do. They are ignored, and run by the tests of `outcomes`.

use gpu_stream_testkit::gpu_stream::ErrorKind;
use gpu_stream_testkit::gpu_stream::prelude::*;
use gpu_stream_testkit::{Kit, TestBackend, TestResult, Verdict, check_eq, check_err};

gpu_stream_testkit::backend_tests! {
    #[ignore = "fails"]
    fn forgets_to_wait<B: TestBackend>(kit: &Kit<B>) -> TestResult {
        let (theirs, ours) = (kit.foreign_stream()?, kit.new_stream()?);
        let (from, to) = (kit.number(0)?, kit.number(1)?);
        let gate = kit.gate(&theirs)?;
        from.store(&theirs, 7)?;
        from.copy_to(&ours, &to)?;
        kit.settle(&[&theirs, &ours]);
        println!("printed by the test");
        check_eq(to.get()?, 1, "the copy, behind the gate")?;
        gate.open();
        ours.synchronize()?;
        check_eq(to.get()?, 7, "the copy")
    }

    #[ignore = "fails only under a check"]
    fn forgets_to_join<B: TestBackend>(kit: &Kit<B>) -> TestResult {
        let (caller, side) = (kit.foreign_stream()?, kit.new_stream()?);
        let (output, result) = (kit.number(1)?, kit.number(2)?);
        side.wait_stream(&caller)?;
        output.store(&side, 7)?; // found: the write
        kit.settle(&[&side]); // no gate holds it back, so it is done
        output.copy_to(&caller, &result)?; // found: the read
        caller.synchronize()?;
        check_eq(result.get()?, 7, "the copy")
    }

    #[ignore = "fails only under a check, with a warning"]
    fn leaves_a_stream<B: TestBackend>(kit: &Kit<B>) -> TestResult {
        let (caller, side) = (kit.foreign_stream()?, kit.new_stream()?);
        side.wait_stream(&caller)?;
        kit.number(1)?.store(&side, 7)?;
        kit.number(2)?.store(&caller, 8)
    }

    #[ignore = "passes"]
    fn leaves_a_stream_on_purpose<B: TestBackend>(kit: &Kit<B>) -> TestResult {
        kit.allow("not-joined")?;
        let (caller, side) = (kit.foreign_stream()?, kit.new_stream()?);
        side.wait_stream(&caller)?;
        kit.number(1)?.store(&side, 7)?;
        kit.number(2)?.store(&caller, 8)
    }

    #[ignore = "fails only under a check"]
    fn allows_what_does_not_exist<B: TestBackend>(kit: &Kit<B>) -> TestResult {
        kit.allow("unjoined")
    }

    #[ignore = "skips, after it has left a stream"]
    fn skips_with_a_stream_left<B: TestBackend>(kit: &Kit<B>) -> TestResult {
        let (caller, side) = (kit.foreign_stream()?, kit.new_stream()?);
        side.wait_stream(&caller)?;
        kit.number(1)?.store(&side, 7)?;
        kit.number(2)?.store(&caller, 8)?;
        Err(Verdict::skipped("the moon is not full"))
    }

    #[ignore = "hangs, after what a check finds"]
    fn hangs_after_a_race<B: TestBackend>(kit: &Kit<B>) -> TestResult {
        let streams = (kit.new_stream()?, kit.new_stream()?);
        let number = kit.number(0)?;
        let _gate = kit.gate(&streams.1)?;
        number.store(&streams.0, 1)?;
        number.store(&streams.1, 2)?;
        Ok(streams.1.synchronize()?)
    }

    #[ignore = "fails"]
    fn panics_behind_a_gate<B: TestBackend>(kit: &Kit<B>) -> TestResult {
        let stream = kit.new_stream()?;
        let _gate = kit.gate(&stream)?;
        kit.number(0)?.store(&stream, 1)?;
        panic!("oh no");
    }

    #[ignore = "fails"]
    fn returns_an_error<B: TestBackend>(kit: &Kit<B>) -> TestResult {
        let far = B::device(1_000)?;
        let _ = (kit, far);
        Ok(())
    }

    #[ignore = "hangs"]
    fn waits_for_its_own_gate<B: TestBackend>(kit: &Kit<B>) -> TestResult {
        let stream = kit.new_stream()?;
        let _gate = kit.gate(&stream)?;
        println!("before the hang");
        Ok(stream.synchronize()?)
    }

    #[ignore = "aborts"]
    fn aborts<B: TestBackend>(kit: &Kit<B>) -> TestResult {
        eprintln!("last words on {}", kit.name());
        std::process::abort();
    }

    #[ignore = "exits"]
    fn exits<B: TestBackend>(_kit: &Kit<B>) -> TestResult {
        std::process::exit(0);
    }

    #[ignore = "does not end after its test"]
    fn hangs_afterwards<B: TestBackend>(_kit: &Kit<B>) -> TestResult {
        #[cfg(unix)]
        {
            extern "C" fn forever() {
                loop {
                    std::thread::park();
                }
            }
            // SAFETY: the function lives as long as the program, and does not unwind.
            unsafe { libc::atexit(forever) };
        }
        Ok(())
    }

    #[ignore = "hangs, after it has written the number of its process to a file"]
    fn waits_for_its_parent<B: TestBackend>(_kit: &Kit<B>) -> TestResult {
        let file = std::path::PathBuf::from(std::env::var("TESTKIT_SAMPLE_FILE")?);
        let draft = file.with_extension("draft");
        std::fs::write(&draft, std::process::id().to_string())?;
        std::fs::rename(draft, file)?;
        loop {
            std::thread::park();
        }
    }

    #[ignore = "passes"]
    fn prints_in_c<B: TestBackend>(_kit: &Kit<B>) -> TestResult {
        #[cfg(unix)]
        // SAFETY: the text is a C string.
        unsafe {
            libc::puts(c"printed in C".as_ptr())
        };
        Ok(())
    }

    #[ignore = "skips"]
    fn skips<B: TestBackend>(_kit: &Kit<B>) -> TestResult {
        Err(Verdict::skipped("the moon is not full"))
    }

    #[ignore = "skips"]
    fn does_not_apply<B: TestBackend>(kit: &Kit<B>) -> TestResult {
        Err(Verdict::inapplicable(format_args!("nothing to test on {}", kit.name())))
    }

    #[ignore = "passes, with a fault that ends the context"]
    fn breaks_its_context<B: TestBackend>(kit: &Kit<B>) -> TestResult {
        let stream = kit.new_stream()?;
        kit.fault(&stream)?;
        check_err(stream.synchronize(), ErrorKind::StreamFault, "synchronize")?;
        Ok(())
    }

    #[ignore = "passes"]
    fn passes<B: TestBackend>(kit: &Kit<B>) -> TestResult {
        println!("printed by the test on {}", kit.name());
        Ok(kit.new_stream()?.synchronize()?)
    }
}
