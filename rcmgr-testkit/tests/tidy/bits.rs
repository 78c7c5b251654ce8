//! Bits are shifted and masked where the packed words are defined, and nowhere else in the engine.
//!
//! Syntax does not tell integers from booleans and sets. So the rule sees: shifts (`<<`, `>>`),
//! assignments (`<<=`, `>>=`, `&=`, `|=`, `^=`), literals in base 2 and 16, and `&`, `|`, `^`, `!`
//! with an operand that is an integer or a constant (`SCREAMING_CASE`). It looks into macros whose
//! arguments are expressions (but `matches!`). It does not see a mask that lies in a variable.

use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{BinOp, Expr, Lit, Token, UnOp};

use crate::source::{Finding, Source, line_of};

pub const RULE: &str = "shifts and masks stand in rcmgr-atomic/src/words alone";

const HOME: [&str; 2] = ["rcmgr-atomic/src/words/", "rcmgr-atomic/src/words.rs"];

/// Lines that may work on bits outside `words`: the file, a part of the line, the reason.
pub const EXCEPTIONS: &[[&str; 3]] = &[];

/// Operations on bits, the `exceptions` apart, and exceptions that match nothing.
pub fn check(sources: &[Source], exceptions: &[[&str; 3]]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut is_used = vec![false; exceptions.len()];
    let outside = sources
        .iter()
        .filter(|source| !HOME.iter().any(|home| source.path.starts_with(home)));
    for source in outside {
        let mut bits = Bits(Vec::new());
        bits.visit_file(&source.syntax);
        bits.0.dedup();
        for (line, sign) in bits.0 {
            let text = source.line(line);
            let exception = exceptions
                .iter()
                .position(|[path, part, _]| *path == source.path && text.contains(part));
            match exception {
                Some(at) => is_used[at] = true,
                None => findings.push(source.finding(line, format!("has `{sign}`: {text}"))),
            }
        }
    }
    for (exception, is_used) in exceptions.iter().zip(is_used) {
        if !is_used {
            findings.push(Finding {
                path: exception[0].to_owned(),
                line: 1,
                message: format!("the exception for `{}` matches nothing", exception[1]),
            });
        }
    }
    findings
}

/// The findings: the line, and the sign or literal.
struct Bits(Vec<(usize, String)>);

impl<'ast> Visit<'ast> for Bits {
    fn visit_expr_binary(&mut self, binary: &'ast syn::ExprBinary) {
        let (sign, span, counts) = match &binary.op {
            BinOp::Shl(op) => ("<<", op.spans[0], true),
            BinOp::Shr(op) => (">>", op.spans[0], true),
            BinOp::ShlAssign(op) => ("<<=", op.spans[0], true),
            BinOp::ShrAssign(op) => (">>=", op.spans[0], true),
            BinOp::BitAndAssign(op) => ("&=", op.spans[0], true),
            BinOp::BitOrAssign(op) => ("|=", op.spans[0], true),
            BinOp::BitXorAssign(op) => ("^=", op.spans[0], true),
            BinOp::BitAnd(op) => ("&", op.span, has_mask(binary)),
            BinOp::BitOr(op) => ("|", op.span, has_mask(binary)),
            BinOp::BitXor(op) => ("^", op.span, has_mask(binary)),
            _ => return visit::visit_expr_binary(self, binary),
        };
        if counts {
            self.0.push((line_of(span), sign.to_owned()));
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_unary(&mut self, unary: &'ast syn::ExprUnary) {
        if let UnOp::Not(op) = &unary.op
            && is_mask(&unary.expr)
        {
            self.0.push((line_of(op.span), "!".to_owned()));
        }
        visit::visit_expr_unary(self, unary);
    }

    fn visit_lit_int(&mut self, literal: &'ast syn::LitInt) {
        let text = literal.to_string();
        if text.starts_with("0x") || text.starts_with("0b") {
            self.0.push((line_of(literal.span()), text));
        }
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        // The second argument of `matches!` is a pattern, in which `|` is no operation.
        if mac.path.is_ident("matches") {
            return;
        }
        type Expressions = Punctuated<Expr, Token![,]>;
        let Ok(arguments) = mac.parse_body_with(Expressions::parse_terminated) else {
            return;
        };
        // The expressions end with this call, so they are visited by a visitor of their own.
        let mut inside = Bits(Vec::new());
        for argument in &arguments {
            inside.visit_expr(argument);
        }
        self.0.append(&mut inside.0);
    }
}

fn has_mask(binary: &syn::ExprBinary) -> bool {
    is_mask(&binary.left) || is_mask(&binary.right)
}

/// Whether an expression is an integer literal or a constant.
fn is_mask(expr: &Expr) -> bool {
    match expr {
        Expr::Lit(literal) => matches!(literal.lit, Lit::Int(_)),
        Expr::Path(path) => path.path.segments.last().is_some_and(|last| {
            let name = last.ident.to_string();
            name.chars().all(|c| !c.is_lowercase()) && name.chars().any(char::is_uppercase)
        }),
        Expr::Paren(inner) => is_mask(&inner.expr),
        Expr::Group(inner) => is_mask(&inner.expr),
        Expr::Cast(inner) => is_mask(&inner.expr),
        Expr::Unary(inner) => is_mask(&inner.expr),
        Expr::Field(field) => is_mask(&field.base),
        Expr::Binary(inner) => has_mask(inner),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_code(path: &str, code: &str, exceptions: &[[&str; 3]]) -> Vec<String> {
        let text = format!("fn f() {{ {code} }}");
        let findings = check(&[Source::parse(path, &text)], exceptions);
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn shifts_and_masks_outside_words_are_found() {
        for code in [
            "x << 3",
            "x >> y",
            "x <<= 1",
            "x |= y",
            "x & 7",
            "x | Self::CLOSED_BIT",
            "(x & (MASK - 1)) as u8",
            "!CLOSED & x",
            "x.fetch_and(!CLOSED)",
            "f(0xff)",
            "assert!(x, y >> 2)",
        ] {
            let found = check_code("rcmgr-atomic/src/leaf.rs", code, &[]);
            assert!(!found.is_empty(), "{code}");
            assert!(
                found[0].starts_with("rcmgr-atomic/src/leaf.rs:1: has `"),
                "{found:?}"
            );
        }
    }

    #[test]
    fn words_may_have_them_and_booleans_and_generics_are_none() {
        let shift = "x << 3";
        assert_eq!(
            check_code("rcmgr-atomic/src/words/leaf.rs", shift, &[]),
            [""; 0]
        );
        for code in [
            "a() & b()",
            "done | ready",
            "!done",
            "x && !y || z",
            "let v: Vec<Vec<u8>> = g(&x); |a| a + 1",
            "matches!(x, A | B)",
        ] {
            let found = check_code("rcmgr-atomic/src/leaf.rs", code, &[]);
            assert_eq!(found, [""; 0], "{code}");
        }
    }

    #[test]
    fn an_exception_covers_its_line_and_is_found_when_it_covers_none() {
        let path = "rcmgr-atomic/src/sync.rs";
        let exceptions = [[
            path,
            "hash >> 40",
            "the upper bits of a hash choose a shard",
        ]];
        assert_eq!(check_code(path, "hash >> 40", &exceptions), [""; 0]);
        assert_eq!(check_code(path, "word >> 40", &exceptions).len(), 2);
    }
}
