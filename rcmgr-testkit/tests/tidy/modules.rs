//! The modules of one crate: which file each lies in, and which names each has.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};
use syn::{Item, ItemUse, UseTree, Visibility};

use crate::source::{Source, line_of};
use crate::tokens;

/// The names from the root of the crate to a module; empty for the root.
pub type ModulePath = Vec<String>;

/// A module, whether it is a file or a part of one.
pub struct Module {
    /// The number of its file among the sources.
    pub file: usize,
    items: BTreeSet<String>,
    pub uses: Vec<Use>,
    /// The paths that its code names: `use` apart, macros included.
    pub named: Vec<(Vec<String>, usize)>,
}

/// One name that a `use` brings in.
pub struct Use {
    /// The name, or `None` for `*`.
    pub name: Option<String>,
    pub target: Vec<String>,
    pub is_reexport: bool,
    pub line: usize,
}

/// The target of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Module(ModulePath),
    /// An item that this file defines, or takes from another crate.
    Item(usize),
}

/// All modules that are compiled without tests.
pub struct Modules(BTreeMap<ModulePath, Module>);

/// Re-exports of re-exports are followed to this depth: globs may lead in circles.
const MAX_DEPTH: usize = 12;

impl Modules {
    /// The modules below one root: `lib.rs` or `main.rs`.
    pub fn of(sources: &[Source], root: usize) -> Self {
        let mut modules = Self(BTreeMap::new());
        let (folder, _) = sources[root]
            .path
            .rsplit_once('/')
            .expect("src/ and a name");
        let items = &sources[root].syntax.items;
        modules.add(sources, Vec::new(), root, folder, items);
        modules
    }

    /// Adds a module, and the modules in it. `folder` is where the files of its children lie.
    fn add(
        &mut self,
        sources: &[Source],
        path: ModulePath,
        file: usize,
        folder: &str,
        items: &[Item],
    ) {
        let mut contents = Contents::default();
        for item in items {
            contents.visit_item(item);
            let Item::Mod(module) = item else {
                continue;
            };
            let name = module.ident.to_string();
            let child = [path.clone(), vec![name.clone()]].concat();
            let child_folder = format!("{folder}/{name}");
            if let Some((_, items)) = &module.content {
                self.add(sources, child, file, &child_folder, items);
                continue;
            }
            let files = [
                format!("{child_folder}.rs"),
                format!("{child_folder}/mod.rs"),
            ];
            if let Some(file) = sources.iter().position(|s| files.contains(&s.path)) {
                self.add(
                    sources,
                    child,
                    file,
                    &child_folder,
                    &sources[file].syntax.items,
                );
            }
        }
        // A module may be there twice, once for loom: then it has the names of both.
        let module = self.0.entry(path).or_insert(Module {
            file,
            items: BTreeSet::new(),
            uses: Vec::new(),
            named: Vec::new(),
        });
        module.items.append(&mut contents.items);
        module.uses.append(&mut contents.uses);
        module.named.append(&mut contents.named);
    }

    pub fn iter(&self) -> impl Iterator<Item = (&ModulePath, &Module)> {
        self.0.iter()
    }

    /// The module that a file is.
    pub fn file_of(&self, path: &ModulePath) -> usize {
        self.0[path].file
    }

    /// The target of a path in a module; `None` if it leads out of the crate, or to a local name.
    pub fn resolve(&self, from: &ModulePath, path: &[String]) -> Option<Target> {
        self.resolve_to(from, path, MAX_DEPTH)
    }

    fn resolve_to(&self, from: &ModulePath, path: &[String], depth: usize) -> Option<Target> {
        let depth = depth.checked_sub(1)?;
        let mut rest = path;
        let mut module = from.clone();
        let mut starts_here = false;
        while let [first, others @ ..] = rest {
            match first.as_str() {
                "crate" => module.clear(),
                "self" => {}
                "super" => drop(module.pop()),
                _ => break,
            }
            starts_here = true;
            rest = others;
        }
        while let [name, others @ ..] = rest {
            let found = self.look_up(&module, name, others.is_empty(), depth);
            match found {
                Some(Target::Module(inner)) => module = inner,
                Some(item) => return Some(item),
                // The compiler knows the name, so a macro made it, or it is another crate's.
                None => return starts_here.then(|| Target::Item(self.file_of(&module))),
            }
            starts_here = true;
            rest = others;
        }
        Some(Target::Module(module))
    }

    /// The target of a name in a module. The last name of a path is an item rather than a module.
    fn look_up(
        &self,
        path: &ModulePath,
        name: &String,
        is_last: bool,
        depth: usize,
    ) -> Option<Target> {
        let module = self.0.get(path)?;
        let item = || {
            module
                .items
                .contains(name)
                .then_some(Target::Item(module.file))
        };
        let child = || {
            let child = [path.clone(), vec![name.clone()]].concat();
            self.0.contains_key(&child).then_some(Target::Module(child))
        };
        let here = match is_last {
            true => item().or_else(child),
            false => child().or_else(item),
        };
        here.or_else(|| {
            let mut named = module.uses.iter().filter(|u| u.name.as_ref() == Some(name));
            let found = named.next()?;
            // `use name;` or `use name as name` of another crate.
            if found.target == [name.clone()] {
                return None;
            }
            let target = self.resolve_to(path, &found.target, depth);
            // An item that is re-exported from another crate counts as defined here.
            target.or_else(|| found.is_reexport.then_some(Target::Item(module.file)))
        })
        .or_else(|| {
            let mut globs = module.uses.iter().filter(|u| u.name.is_none());
            globs.find_map(|glob| match self.resolve_to(path, &glob.target, depth)? {
                Target::Module(inner) if inner != *path => {
                    self.look_up(&inner, name, is_last, depth.checked_sub(1)?)
                }
                _ => None,
            })
        })
    }
}

/// The names and paths in the items of one module. Modules inside it are visited by themselves.
#[derive(Default)]
struct Contents {
    items: BTreeSet<String>,
    uses: Vec<Use>,
    named: Vec<(Vec<String>, usize)>,
}

impl Contents {
    fn add_use(&mut self, tree: &UseTree, before: &[String], is_reexport: bool) {
        let (name, last, span) = match tree {
            UseTree::Path(path) => {
                let before = [before, &[path.ident.to_string()]].concat();
                return self.add_use(&path.tree, &before, is_reexport);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_use(tree, before, is_reexport);
                }
                return;
            }
            UseTree::Name(name) => {
                let last = name.ident.to_string();
                // `use a::{self}` brings in `a`.
                let name = match last.as_str() {
                    "self" => before.last().cloned(),
                    _ => Some(last.clone()),
                };
                (name, Some(last), name_span(tree))
            }
            UseTree::Rename(rename) => (
                Some(rename.rename.to_string()),
                Some(rename.ident.to_string()),
                name_span(tree),
            ),
            UseTree::Glob(_) => (None, None, name_span(tree)),
        };
        let target = before
            .iter()
            .cloned()
            .chain(last.filter(|last| last != "self"));
        self.uses.push(Use {
            name,
            target: target.collect(),
            is_reexport,
            line: span,
        });
    }
}

fn name_span(tree: &UseTree) -> usize {
    line_of(syn::spanned::Spanned::span(tree))
}

impl<'ast> Visit<'ast> for Contents {
    fn visit_item(&mut self, item: &'ast Item) {
        let name = match item {
            Item::Const(item) => Some(&item.ident),
            Item::Enum(item) => Some(&item.ident),
            Item::Fn(item) => Some(&item.sig.ident),
            Item::Macro(item) => item.ident.as_ref(),
            Item::Static(item) => Some(&item.ident),
            Item::Struct(item) => Some(&item.ident),
            Item::Trait(item) => Some(&item.ident),
            Item::TraitAlias(item) => Some(&item.ident),
            Item::Type(item) => Some(&item.ident),
            Item::Union(item) => Some(&item.ident),
            _ => None,
        };
        self.items.extend(name.map(ToString::to_string));
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, _: &'ast syn::ItemMod) {}

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if item.leading_colon.is_some() {
            return;
        }
        let is_reexport = !matches!(item.vis, Visibility::Inherited);
        self.add_use(&item.tree, &[], is_reexport);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            let names = path.segments.iter().map(|s| s.ident.to_string()).collect();
            let line = path
                .segments
                .first()
                .map(|first| line_of(first.ident.span()));
            self.named.push((names, line.unwrap_or(0)));
        }
        visit::visit_path(self, path);
    }

    // A `macro_rules!` is compiled where it is used, so its body is no code of this file.
    fn visit_item_macro(&mut self, item: &'ast syn::ItemMacro) {
        if item.ident.is_none() {
            visit::visit_item_macro(self, item);
        }
    }

    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        visit::visit_macro(self, mac);
        self.named
            .append(&mut tokens::paths(&tokens::flat(&mac.tokens)));
    }

    // `pub(in path)` and attributes import nothing.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}
}
