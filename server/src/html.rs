//! Text in the HTML pages that commands write: plans, and reports of load. Must never be given markup.

/// The text, with what would be markup in an element or a quoted attribute escaped.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_escaped_is_markup() {
        assert_eq!(escaped("a <b c=\"d\" e='f'> & 밤"), "a &lt;b c=&quot;d&quot; e=&#39;f&#39;&gt; &amp; 밤");
        assert_eq!(escaped("&lt;"), "&amp;lt;", "what looks escaped is text, too");
    }
}
