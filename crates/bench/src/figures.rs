//! Formats numbers.

use crate::Spread;

/// Formats nanoseconds with at least two digits, and with one decimal below 99.95.
pub fn ns(value: f64) -> String {
    let whole = value.abs() >= 99.95;
    if !whole {
        return format!("{value:.1}");
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = String::from(if value < 0.0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats a ratio, with two decimals below 99.5.
pub fn ratio(value: f64) -> String {
    if value < 99.5 { format!("{value:.2}") } else { ns(value) }
}

/// Formats a difference in nanoseconds, with its sign.
pub fn difference(value: f64) -> String {
    let sign = if value < 0.0 { "" } else { "+" };
    format!("{sign}{}", ns(value))
}

/// Formats the quartiles with `write`.
pub fn quartiles(spread: &Spread, write: fn(f64) -> String) -> String {
    format!("{} to {}", write(spread.q1), write(spread.q3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_rounded_to_their_precision() {
        assert_eq!([0.3, 9.96, 99.94, 99.96, 505.4].map(ns), ["0.3", "10.0", "99.9", "100", "505"]);
        assert_eq!([1_932.0, 1_234_567.0, -1_339.2].map(ns), ["1,932", "1,234,567", "-1,339"]);
        assert_eq!([1.049, 0.26, 99.4, 1_000.0].map(ratio), ["1.05", "0.26", "99.40", "1,000"]);
        assert_eq!([2.0, -2.0, 0.0].map(difference), ["+2.0", "-2.0", "+0.0"]);
    }
}
