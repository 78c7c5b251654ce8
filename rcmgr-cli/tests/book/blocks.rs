//! The code blocks of a chapter, the commands in its text, and its links.

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// A code block.
pub struct Block {
    /// The line of its first line, from 1.
    pub line: usize,
    /// Its language.
    pub language: String,
    /// What follows the language, separated by commas.
    pub attributes: Vec<String>,
    pub text: String,
}

impl Block {
    pub fn has(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|has| has == attribute)
    }

    /// The value of `attribute=value`.
    pub fn value(&self, attribute: &str) -> Option<&str> {
        self.attributes
            .iter()
            .filter_map(|has| has.split_once('='))
            .find_map(|(name, value)| (name == attribute).then_some(value))
    }
}

/// A code span in the text.
pub struct Span {
    pub line: usize,
    pub text: String,
}

/// A link to another place of the project.
pub struct Link {
    pub line: usize,
    pub target: String,
}

/// What is checked of a chapter.
#[derive(Default)]
pub struct Parts {
    pub blocks: Vec<Block>,
    pub spans: Vec<Span>,
    pub links: Vec<Link>,
    /// The names by which links reach the headings.
    pub anchors: Vec<String>,
}

/// The name of a heading, as mdbook makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        _ if c.is_alphanumeric() || c == '-' || c == '_' => Some(c.to_ascii_lowercase()),
        _ => None,
    });
    kept.collect()
}

/// Reads a chapter.
pub fn read(text: &str) -> Parts {
    let mut parts = Parts::default();
    let mut heading: Option<String> = None;
    let mut block: Option<Block> = None;
    let line_at = |offset: usize| text[..offset].matches('\n').count() + 1;
    for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
        match event {
            Event::Start(Tag::CodeBlock(kind)) => {
                let info = match kind {
                    CodeBlockKind::Fenced(info) => info.to_string(),
                    CodeBlockKind::Indented => String::new(),
                };
                let mut words = info.split(',').map(|word| word.trim().to_owned());
                block = Some(Block {
                    line: line_at(range.start) + 1,
                    language: words.next().unwrap_or_default(),
                    attributes: words.collect(),
                    text: String::new(),
                });
            }
            Event::Text(text) => {
                if let Some(block) = &mut block {
                    block.text.push_str(&text);
                }
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            Event::End(TagEnd::CodeBlock) => parts.blocks.extend(block.take()),
            Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
                parts.spans.push(Span {
                    line: line_at(range.start),
                    text: text.to_string(),
                });
            }
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                parts.anchors.extend(heading.take().as_deref().map(anchor));
            }
            Event::Start(Tag::Link { dest_url, .. }) if !dest_url.contains("://") => {
                parts.links.push(Link {
                    line: line_at(range.start),
                    target: dest_url.to_string(),
                });
            }
            _ => {}
        }
    }
    parts
}
