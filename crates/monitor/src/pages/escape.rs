//! What every text of a page goes through: markup becomes text, and what is not seen, or turns other text around, becomes
//! visible.
//!
//! Control characters are shown by their pictures (`␛`), characters that change the direction of text, or have no width, by their
//! numbers (`⟨U+202E⟩`). Line ends and tabs stay. `askama.toml` names this for all templates, so that none can forget it.

use std::fmt::{self, Write};

/// The escaper of all templates.
#[derive(Debug, Clone, Copy, Default)]
pub struct Escape;

impl askama::filters::Escaper for Escape {
    fn write_escaped_str<W: Write>(&self, mut dest: W, text: &str) -> fmt::Result {
        let mut plain = 0;
        for (at, c) in text.char_indices() {
            if !is_special(c) {
                continue;
            }
            dest.write_str(&text[plain..at])?;
            write_special(&mut dest, c)?;
            plain = at + c.len_utf8();
        }
        dest.write_str(&text[plain..])
    }
}

fn is_special(c: char) -> bool {
    match c {
        '<' | '>' | '&' | '"' | '\'' => true,
        '\n' | '\t' => false,
        c => c.is_control() || is_unseen(c),
    }
}

/// Characters that turn text around, or that nobody sees: a name with them looks like another.
fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn write_special(dest: &mut impl Write, c: char) -> fmt::Result {
    match c {
        '<' => dest.write_str("&lt;"),
        '>' => dest.write_str("&gt;"),
        '&' => dest.write_str("&amp;"),
        '"' => dest.write_str("&#34;"),
        '\'' => dest.write_str("&#39;"),
        // Unicode has a picture of each of these, at a fixed distance.
        '\0'..='\x1f' => dest.write_char(char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}')),
        '\x7f' => dest.write_char('\u{2421}'),
        c => write!(dest, "⟨U+{:04X}⟩", u32::from(c)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use askama::filters::Escaper as _;

    fn escaped(text: &str) -> String {
        let mut out = String::new();
        Escape.write_escaped_str(&mut out, text).unwrap();
        out
    }

    #[test]
    fn markup_is_text_and_what_is_unseen_is_seen() {
        assert_eq!(escaped("<b a='x' c=\"y\">&"), "&lt;b a=&#39;x&#39; c=&#34;y&#34;&gt;&amp;");
        assert_eq!(escaped("a\x1b[31mred\x07\x7f\u{9b}"), "a␛[31mred␇␡⟨U+009B⟩");
        assert_eq!(escaped("gpj.\u{202e}exe\u{200b}\u{feff}"), "gpj.⟨U+202E⟩exe⟨U+200B⟩⟨U+FEFF⟩");
        assert_eq!(escaped("two\nlines\tand ünïcödé 漢字 ✓"), "two\nlines\tand ünïcödé 漢字 ✓");
    }
}
