//! The text of a page: what a person would read, in the order of the source.
//!
//! A tokenizer alone reads the page, no tree is built: time and memory are proportional to its length, whatever it nests. Scripts,
//! styles, forms' parts, navigation and what is hidden are left out; so are letters that show nothing or turn the direction of
//! writing, in which a page can hide words from people but not from programs.

use html5gum::emitters::default::DefaultEmitter;
use html5gum::{StartTag, Token, Tokenizer};

/// A page's title and text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HtmlText {
    /// `<title>`, or else the first heading.
    pub title: Option<String>,
    /// The text: a paragraph a line, an empty line between two, headings with `#`, items with `-`, cells with `|` between.
    pub text: String,
}

/// Elements whose text nobody reads.
const SKIPPED: [&str; 19] = [
    "aside", "audio", "button", "canvas", "datalist", "dialog", "footer", "form", "iframe", "nav",
    "noscript", "object", "script", "select", "style", "svg", "template", "textarea", "video",
];
/// Elements that begin a paragraph.
const BLOCKS: [&str; 30] = [
    "address",
    "article",
    "blockquote",
    "body",
    "br",
    "caption",
    "center",
    "dd",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "main",
    "ol",
    "p",
    "pre",
    "section",
    "table",
    "title",
    "ul",
];
/// Elements without an end.
const VOID: [&str; 13] =
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"];

struct Writer {
    text: String,
    title: String,
    heading: Option<String>,
    in_title: bool,
    in_heading: bool,
    pre: usize,
    /// The element that is left out, and how many of the same name are open in it.
    skipped: Option<(Vec<u8>, usize)>,
    blank: bool,
}

/// The text of a page.
#[must_use]
pub fn html_text(page: &str) -> HtmlText {
    let mut writer = Writer {
        text: String::with_capacity(page.len() / 2),
        title: String::new(),
        heading: None,
        in_title: false,
        in_heading: false,
        pre: 0,
        skipped: None,
        blank: false,
    };
    let mut emitter = DefaultEmitter::<()>::default();
    emitter.naively_switch_states(true);
    for token in Tokenizer::new_with_emitter(page, emitter) {
        // Reading a text cannot fail.
        let Ok(token) = token;
        match token {
            Token::StartTag(tag) => writer.start(&tag),
            Token::EndTag(tag) => writer.end(&tag.name),
            Token::String(text) => writer.words(&text.value),
            _ => {}
        }
    }
    let text = writer.text.trim().to_owned();
    let title = Some(writer.title.trim().to_owned()).filter(|title| !title.is_empty());
    HtmlText { title: title.or(writer.heading.map(|heading| heading.trim().to_owned())), text }
}

fn named<'a>(names: &[&'a str], name: &[u8]) -> Option<&'a str> {
    let name = std::str::from_utf8(name).ok()?;
    names.binary_search(&name).ok().map(|at| names[at])
}

fn is_hidden(tag: &StartTag<()>) -> bool {
    let value =
        |name: &str| tag.attributes.get(name.as_bytes()).map(|value| value.value.to_ascii_lowercase());
    let style: Vec<u8> =
        value("style").unwrap_or_default().into_iter().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let contains = |part: &[u8]| style.windows(part.len()).any(|window| window == part);
    tag.attributes.contains_key(b"hidden".as_slice())
        || value("aria-hidden").is_some_and(|value| value == b"true")
        || contains(b"display:none")
        || contains(b"visibility:hidden")
        || contains(b"font-size:0;")
        || style.ends_with(b"font-size:0")
        || contains(b"opacity:0;")
        || style.ends_with(b"opacity:0")
}

impl Writer {
    fn start(&mut self, tag: &StartTag<()>) {
        let name: &[u8] = &tag.name;
        if let Some((skipped, depth)) = &mut self.skipped {
            if skipped == name {
                *depth += 1;
            }
            return;
        }
        let is_void = named(&VOID, name).is_some();
        if named(&SKIPPED, name).is_some() || (is_hidden(tag) && !is_void) {
            if !tag.self_closing || named(&SKIPPED, name).is_some() {
                self.skipped = Some((name.to_vec(), 1));
            }
            return;
        }
        if name == b"title" {
            self.in_title = self.title.is_empty();
            return;
        }
        if let Some(block) = named(&BLOCKS, name) {
            self.new_line(block != "br");
            if block == "pre" {
                self.pre += 1;
            }
            if let [b'h', level @ b'1'..=b'6'] = name {
                self.text.extend(std::iter::repeat_n('#', usize::from(level - b'0')));
                self.text.push(' ');
                self.in_heading = self.heading.is_none();
            }
        } else if name == b"li" {
            self.new_line(false);
            self.text.push_str("- ");
        } else if name == b"tr" {
            self.new_line(false);
        } else if (name == b"td" || name == b"th") && !self.at_line_start() {
            self.text.push_str(" | ");
            self.blank = false;
        }
    }

    fn end(&mut self, name: &[u8]) {
        if let Some((skipped, depth)) = &mut self.skipped {
            if skipped == name {
                *depth -= 1;
                if *depth == 0 {
                    self.skipped = None;
                }
            }
            return;
        }
        match name {
            b"title" => self.in_title = false,
            b"pre" => self.pre = self.pre.saturating_sub(1),
            [b'h', b'1'..=b'6'] => self.in_heading = false,
            _ => {}
        }
        if named(&BLOCKS, name).is_some() {
            self.new_line(true);
        }
    }

    fn words(&mut self, bytes: &[u8]) {
        if self.skipped.is_some() {
            return;
        }
        let text = String::from_utf8_lossy(bytes);
        for letter in text.chars().filter(|letter| !is_invisible(*letter)) {
            if self.in_title {
                self.title.push(if letter.is_whitespace() { ' ' } else { letter });
                continue;
            }
            if self.pre > 0 {
                self.text.push(letter);
                continue;
            }
            if letter.is_whitespace() {
                self.blank = true;
                continue;
            }
            if self.blank && !self.at_line_start() {
                self.text.push(' ');
            }
            self.blank = false;
            self.text.push(letter);
            if self.in_heading {
                let heading = self.heading.get_or_insert_default();
                if heading.len() < 300 {
                    let gap = !heading.is_empty()
                        && self.text[..self.text.len() - letter.len_utf8()].ends_with(' ');
                    if gap {
                        heading.push(' ');
                    }
                    heading.push(letter);
                }
            }
        }
    }

    fn at_line_start(&self) -> bool {
        self.text.is_empty() || self.text.ends_with(['\n', ' '])
    }

    /// Ends the line, and leaves an empty one if a paragraph begins.
    fn new_line(&mut self, paragraph: bool) {
        self.blank = false;
        if self.pre > 0 {
            return;
        }
        let kept = self.text.trim_end_matches(' ').len();
        self.text.truncate(kept);
        if self.text.is_empty() {
            return;
        }
        if !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        if paragraph && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }
}

/// Letters that show nothing: joiners, marks of direction, tags.
#[must_use]
pub(crate) fn is_invisible(letter: char) -> bool {
    matches!(letter as u32, 0xad | 0x34f | 0x61c | 0x180b..=0x180f | 0x200b..=0x200f | 0x202a..=0x202e | 0x2060..=0x206f
        | 0xfe00..=0xfe0f | 0xfeff | 0xe0000..=0xe0fff)
        || (letter.is_control() && !matches!(letter, '\n' | '\t' | '\r'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_becomes_what_a_person_reads() {
        assert!(SKIPPED.is_sorted() && BLOCKS.is_sorted() && VOID.is_sorted());
        let page = "<!doctype html><html><head><title>A &amp; B</title><style>p{}</style><script>if (1<2) 'x</p>'</script></head>\
            <body><nav>Menu <nav>more</nav> of it</nav><h1>Big\n<b>head</b></h1><p>One &lt;two&gt;\n   three<br>four</p>\
            <ul><li>x<li>y</ul><table><tr><td>a<td>b</tr><tr><td>c</td><td>d</td></tr></table>\
            <p hidden>no</p><div style='display: none'>no<div>no</div></div><p>l\u{200b}ast\u{202e}</p><pre>a\n  b</pre>";
        let HtmlText { title, text } = html_text(page);
        assert_eq!(title.as_deref(), Some("A & B"));
        assert_eq!(text, "# Big head\n\nOne <two> three\nfour\n\n- x\n- y\n\na | b\nc | d\n\nlast\n\na\n  b");
        assert_eq!(html_text("<h2>Only <i>this</i></h2>").title.as_deref(), Some("Only this"));
    }

    #[test]
    fn a_million_tags_are_read_in_linear_time() {
        let page = "<div><b>".repeat(500_000) + "deep";
        assert_eq!(html_text(&page).text, "deep");
        let page = "<p a=1 b=2 c=3>&amp;&nosuch;<".repeat(100_000);
        assert!(html_text(&page).text.len() < 2 * page.len());
    }
}
