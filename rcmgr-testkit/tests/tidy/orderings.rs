//! Every memory ordering stronger than `Relaxed` has its reason beside it.
//!
//! A comment names the ordering in the four lines before the statement, or inside the statement up
//! to the call. `AcqRel` is also named by "Acquire" and "Release" together. One comment may serve a
//! whole `impl` or function: it then says "here and below" and stands above the call. The ordering
//! of a failed compare-exchange needs no reason if that of success includes it.

use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Expr, Token};

use crate::source::{Finding, Source, line_of};

pub const RULE: &str = "every ordering stronger than Relaxed has its reason beside it";

/// How many lines before a statement its comment may begin.
const LINES_BEFORE: usize = 4;

/// In a comment: it holds for the rest of the same `impl` or function, too.
const GROUP: &str = "here and below";

pub fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        let mut orderings = Orderings {
            source,
            statement: 1,
            block: 1,
            findings: Vec::new(),
        };
        orderings.visit_file(&source.syntax);
        findings.append(&mut orderings.findings);
    }
    findings
}

struct Orderings<'a> {
    source: &'a Source,
    /// The first line of the innermost statement.
    statement: usize,
    /// The first line of the outermost `impl` or function, below which a comment may serve for all.
    block: usize,
    findings: Vec<Finding>,
}

impl Orderings<'_> {
    /// Looks at a call with these arguments.
    fn call(&mut self, arguments: &Punctuated<Expr, Token![,]>) {
        let used: Vec<(String, usize)> = arguments.iter().filter_map(ordering).collect();
        let Some((success, line)) = used.first() else {
            return;
        };
        self.require(success, *line);
        for (failure, line) in &used[1..] {
            if !includes(success, failure) {
                self.require(failure, *line);
            }
        }
    }

    fn require(&mut self, ordering: &str, line: usize) {
        if ordering == "Relaxed" {
            return;
        }
        let near = self.statement.saturating_sub(LINES_BEFORE).max(1)..=line;
        let is_group = |&at: &usize| self.comment(at).contains(GROUP);
        // A comment of several lines: its words up to its end.
        let group = (self.block..line).rev().find(is_group).map(|first| {
            let end = (first..line).find(|&at| self.comment(at).is_empty());
            first..=end.unwrap_or(line)
        });
        let is_named = [Some(near), group].into_iter().flatten().any(|lines| {
            let words: String = lines.map(|at| self.comment(at).to_owned() + " ").collect();
            names(&words, ordering)
        });
        if !is_named {
            let message = format!("no comment names `{ordering}`: {}", self.source.line(line));
            self.findings.push(self.source.finding(line, message));
        }
    }

    /// The comment of a line, or nothing.
    fn comment(&self, line: usize) -> &str {
        let text = self.source.line(line);
        text.find("//").map_or("", |at| &text[at..])
    }

    fn within(&mut self, span: proc_macro2::Span, visit: impl FnOnce(&mut Self)) {
        let outer = (self.statement, self.block);
        self.statement = line_of(span);
        if outer.1 == 1 {
            self.block = line_of(span);
        }
        visit(self);
        (self.statement, self.block) = outer;
    }
}

impl<'ast> Visit<'ast> for Orderings<'_> {
    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.within(item.span(), |inner| visit::visit_item_impl(inner, item));
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.within(item.span(), |inner| visit::visit_item_fn(inner, item));
    }

    fn visit_stmt(&mut self, statement: &'ast syn::Stmt) {
        let outer = self.statement;
        self.statement = line_of(statement.span());
        visit::visit_stmt(self, statement);
        self.statement = outer;
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        self.call(&call.args);
        self.visit_expr(&call.func);
        for argument in call.args.iter().filter(|a| ordering(a).is_none()) {
            self.visit_expr(argument);
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.call(&call.args);
        self.visit_expr(&call.receiver);
        for argument in call.args.iter().filter(|a| ordering(a).is_none()) {
            self.visit_expr(argument);
        }
    }

    /// An ordering that is no argument of a call: a constant, a choice.
    fn visit_expr_path(&mut self, path: &'ast syn::ExprPath) {
        if let Some((ordering, line)) = ordering_of(&path.path) {
            self.require(&ordering, line);
        }
    }
}

/// The ordering that an argument is, and its line.
fn ordering(argument: &Expr) -> Option<(String, usize)> {
    match argument {
        Expr::Path(path) => ordering_of(&path.path),
        _ => None,
    }
}

fn ordering_of(path: &syn::Path) -> Option<(String, usize)> {
    let mut names = path.segments.iter().rev().map(|segment| &segment.ident);
    let last = names.next()?;
    let is_ordering = names.next().is_none_or(|before| before == "Ordering");
    let name = last.to_string();
    let known = ["Relaxed", "Acquire", "Release", "AcqRel", "SeqCst"].contains(&name.as_str());
    (is_ordering && known).then(|| (name, line_of(last.span())))
}

/// Whether a failure's ordering is a part of the success's.
fn includes(success: &str, failure: &str) -> bool {
    success == failure || success == "SeqCst" || (success, failure) == ("AcqRel", "Acquire")
}

fn names(words: &str, ordering: &str) -> bool {
    let has = |name: &str| {
        words
            .split(|c: char| !c.is_alphanumeric())
            .any(|word| word == name)
    };
    has(ordering) || ordering == "AcqRel" && has("Acquire") && has("Release")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_impl(text: &str) -> Vec<String> {
        let text = format!("impl X {{\n{text}\n}}");
        let findings = check(&[Source::parse("x/src/a.rs", &text)]);
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_ordering_without_a_reason_is_found() {
        for code in [
            "fn f(&self) { self.a.load(Ordering::Acquire) }",
            "fn f(&self) { fence(Ordering::SeqCst); }",
            "fn f(&self) { self.a.load(SeqCst) }",
            "fn f(&self) { let order = Ordering::Release; }",
            "// Relaxed: a hint.\nfn f(&self) { self.a.swap(1, Ordering::AcqRel) }",
            "// Release: it is there.\nfn f(&self) { self.a.swap(1, Ordering::AcqRel) }",
            "fn f(&self) { // Release: it is there.\n self.a.compare_exchange(1, 2, Ordering::Release, Ordering::Acquire) }",
            "fn f(&self) { // SeqCst: far away.\n g();\n g();\n g();\n g();\n self.a.load(Ordering::SeqCst) }",
        ] {
            assert_eq!(check_impl(code).len(), 1, "{code}");
        }
    }

    #[test]
    fn a_reason_before_the_statement_or_in_it_is_enough() {
        for code in [
            "fn f(&self) {\n// Acquire: pairs with `g`.\nself.a.load(Ordering::Acquire) }",
            "fn f(&self) { self.a.load(Ordering::Acquire) } // Acquire: pairs with `g`.",
            "fn f(&self) {\n// Release: it is there. Acquire: in `g`.\nself.a.swap(1, Ordering::AcqRel) }",
            "fn f(&self) {\n// AcqRel: of both.\nself.a\n.compare_exchange(\n1,\n2,\n3,\n4,\n5,\nOrdering::AcqRel, Ordering::Acquire) }",
            "fn f(&self) { self.a.load(Ordering::Relaxed) }",
        ] {
            assert_eq!(check_impl(code), [""; 0], "{code}");
        }
    }

    #[test]
    fn a_group_comment_serves_what_follows_in_the_impl() {
        let group = "// SeqCst, here and below: in one order.\nfn a(&self) {}\n\n\n\n\n\n\n";
        let seq_cst = format!("{group}fn b(&self) {{ self.a.load(Ordering::SeqCst) }}");
        assert_eq!(check_impl(&seq_cst), [""; 0]);
        let other = format!("{group}fn b(&self) {{ self.a.load(Ordering::Acquire) }}");
        assert_eq!(check_impl(&other).len(), 1);
        let above = format!("fn b(&self) {{ self.a.load(Ordering::SeqCst) }}\n\n\n\n{group}");
        assert_eq!(check_impl(&above).len(), 1);
    }
}
