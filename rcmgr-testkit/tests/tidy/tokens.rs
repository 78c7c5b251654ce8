//! Tokens of a file in a row, for rules that also look into macros.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::source::line_of;

/// A token. A group is its opening bracket, its content and its closing bracket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    pub line: usize,
    /// Whether it is a name or keyword.
    pub is_word: bool,
}

pub fn flat(tokens: &TokenStream) -> Vec<Token> {
    let mut all = Vec::new();
    flatten(tokens, &mut all);
    all
}

fn flatten(tokens: &TokenStream, all: &mut Vec<Token>) {
    for tree in tokens.clone() {
        let token = |text: &str, line| Token {
            text: text.to_owned(),
            line,
            is_word: false,
        };
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                all.push(token(open, line_of(group.span_open())));
                flatten(&group.stream(), all);
                all.push(token(close, line_of(group.span_close())));
            }
            TokenTree::Ident(word) => all.push(Token {
                text: word.to_string(),
                line: line_of(word.span()),
                is_word: true,
            }),
            TokenTree::Punct(sign) => all.push(token(&sign.to_string(), line_of(sign.span()))),
            TokenTree::Literal(literal) => {
                all.push(token(&literal.to_string(), line_of(literal.span())));
            }
        }
    }
}

/// The paths (`a::b::c`, and single names) among tokens, with the line of each.
pub fn paths(tokens: &[Token]) -> Vec<(Vec<String>, usize)> {
    let mut paths = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        // A name after a dot is a field or method.
        let is_member = at > 0 && tokens[at - 1].text == ".";
        if !tokens[at].is_word || is_member {
            at += 1;
            continue;
        }
        let line = tokens[at].line;
        let mut path = vec![tokens[at].text.clone()];
        at += 1;
        while let [first, second, name, ..] = &tokens[at..]
            && first.text == ":"
            && second.text == ":"
            && name.is_word
        {
            path.push(name.text.clone());
            at += 3;
        }
        paths.push((path, line));
    }
    paths
}
