//! The code blocks of a chapter, and the commands in its text.

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

/// The blocks and the code spans of a chapter.
pub fn read(text: &str) -> (Vec<Block>, Vec<Span>) {
    let (mut blocks, mut spans) = (Vec::new(), Vec::new());
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
            }
            Event::End(TagEnd::CodeBlock) => blocks.extend(block.take()),
            Event::Code(text) => spans.push(Span {
                line: line_at(range.start),
                text: text.to_string(),
            }),
            _ => {}
        }
    }
    (blocks, spans)
}
