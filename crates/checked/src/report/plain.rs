//! Text of the program that is safe to print: [`plain`], [`width`].

/// Returns `text` without characters that a terminal or an editor obeys. Each is replaced by U+FFFD.
///
/// These are the control characters, and those that change the direction of text ([Trojan Source]).
///
/// [Trojan Source]: https://trojansource.codes/
pub(super) fn plain(text: &str) -> String {
    text.chars().map(plain_char).collect()
}

/// Returns `c`, or U+FFFD if a terminal or an editor obeys it.
pub(super) fn plain_char(c: char) -> char {
    match c {
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// Returns the number of columns that `c` takes on a terminal: two for most characters of East Asia and for emoji, and
/// none for marks that combine with the character before.
pub(super) fn char_width(c: char) -> usize {
    match u32::from(c) {
        0x300..=0x36f | 0x200b..=0x200d | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff => 2,
        0xfe30..=0xfe6f | 0xff00..=0xff60 | 0x1f300..=0x1faff | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// Returns the number of columns that `text` takes on a terminal.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// Returns `text`, or its beginning and an ellipsis if it takes more than `most` columns.
pub(super) fn shortened(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let (mut short, mut used) = (String::new(), 1);
    for c in text.chars() {
        used += char_width(c);
        if used > most {
            break;
        }
        short.push(c);
    }
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_obeyed_by_a_terminal_is_replaced() {
        assert_eq!(plain("a\u{1b}[31m\u{202e}b\n"), "a\u{fffd}[31m\u{fffd}b\u{fffd}");
        assert_eq!(plain("größe 日本"), "größe 日本");
    }

    #[test]
    fn width_counts_columns() {
        assert_eq!((width("abc"), width("日本"), width("e\u{301}")), (3, 4, 1));
        assert_eq!(
            (shortened("日本語", 5).as_str(), shortened("abc", 3).as_str()),
            ("日本…", "abc")
        );
    }
}
