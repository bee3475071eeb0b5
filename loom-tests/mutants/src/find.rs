//! Finds what can be broken in a file of the map.

use proc_macro2::Span;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{BinOp, Expr, Meta, Token};

/// How something is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An ordering is one step weaker.
    Weaker,
    /// A fence is gone.
    Fence,
    /// A compare-and-exchange stores whatever it finds.
    Store,
    /// A part of a condition that looks at shared memory is taken for true, or for false.
    Check,
}

/// A change of one place of a file.
#[derive(Debug)]
pub struct Mutant {
    /// Says what it is, in words that survive changes of other lines.
    pub name: String,
    pub kind: Kind,
    pub file: String,
    pub line: usize,
    /// The bytes of the file that are changed.
    pub range: Range<usize>,
    pub change: Change,
}

/// What becomes of an expression.
#[derive(Debug)]
pub enum Change {
    /// Another expression takes its place.
    Replace(String),
    /// It is evaluated, and taken for this.
    Outcome(bool),
}

/// The folders below `src` that are broken.
const ROOMS: [&str; 4] = ["alloc", "cpu", "map", "reclaim"];

/// The mutants of all rooms below `src`.
pub fn all(src: &Path) -> io::Result<Vec<Mutant>> {
    let mut files = Vec::new();
    for room in ROOMS {
        collect(&src.join(room), &mut files)?;
    }
    files.sort();
    let mut mutants = Vec::new();
    for path in files {
        let source = fs::read_to_string(&path)?;
        let name = path.strip_prefix(src).unwrap_or(&path).to_string_lossy();
        let syntax = syn::parse_file(&source).map_err(io::Error::other)?;
        let mut finder = Finder {
            source: &source,
            file: name.into_owned(),
            function: String::new(),
            seen: HashMap::new(),
            mutants: Vec::new(),
        };
        finder.visit_file(&syntax);
        mutants.append(&mut finder.mutants);
    }
    Ok(mutants)
}

/// The files of a folder and of those in it, but for unit tests and specifications.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if !path.ends_with("tests.rs") && !path.ends_with("spec.rs") {
            files.push(path);
        }
    }
    Ok(())
}

struct Finder<'s> {
    source: &'s str,
    file: String,
    function: String,
    /// How often a name was given: the second one gets a number.
    seen: HashMap<String, usize>,
    mutants: Vec<Mutant>,
}

/// Names of functions that look at memory which other threads write to.
const LOOKS: [&str; 20] = [
    "load",
    "is_frozen",
    "is_ready",
    "is_of",
    "slot_of",
    "last_commit_word",
    "is_claimed",
    "put",
    "exchange",
    "is_migrating",
    "kill",
    "touch",
    "touch_at_once",
    "replace",
    "advance",
    "clear",
    "release_structural",
    "account",
    "is_ok",
    "is_err",
];

impl Finder<'_> {
    fn text(&self, span: Span) -> &str {
        &self.source[span.byte_range()]
    }

    fn add(&mut self, kind: Kind, span: Span, change: Change, what: &str) {
        let what = what.split_whitespace().collect::<Vec<_>>().join(" ");
        let what = what.replace(" .", ".");
        let mut name = format!("{}, {}: {what}", self.file, self.function);
        let count = self.seen.entry(name.clone()).or_default();
        *count += 1;
        if *count > 1 {
            name = format!("{name} ({count})");
        }
        self.mutants.push(Mutant {
            name,
            kind,
            file: self.file.clone(),
            line: span.start().line,
            range: span.byte_range(),
            change,
        });
    }

    /// Weakens the orderings among a call's arguments.
    fn weaken(&mut self, call: &str, is_fence: bool, arguments: &Punctuated<Expr, Token![,]>) {
        for (position, argument) in arguments.iter().enumerate() {
            let Expr::Path(path) = argument else { continue };
            let Some(ordering) = path.path.segments.last() else {
                continue;
            };
            let ordering = ordering.ident.to_string();
            let weaker: &[&str] = match (ordering.as_str(), call) {
                ("SeqCst", "load") => &["Acquire"],
                ("SeqCst", "store") => &["Release"],
                ("SeqCst", _) => &["AcqRel"],
                ("AcqRel", _) => &["Acquire", "Release"],
                // A fence has nothing weaker: it is dropped.
                ("Acquire" | "Release", _) if !is_fence => &["Relaxed"],
                _ => &[],
            };
            for weaker in weaker {
                let what = format!(
                    "`{call}`, argument {}, {ordering} to {weaker}",
                    position + 1
                );
                self.add(
                    Kind::Weaker,
                    argument.span(),
                    Change::Replace(format!("Ordering::{weaker}")),
                    &what,
                );
            }
        }
    }

    /// Takes each part of a condition for true, and for false, that looks at shared memory and
    /// binds nothing.
    fn skip_checks(&mut self, condition: &Expr) {
        match condition {
            Expr::Binary(binary) if matches!(binary.op, BinOp::And(_)) => {
                self.skip_checks(&binary.left);
                self.skip_checks(&binary.right);
            }
            Expr::Let(_) => {}
            part => {
                let text = self.text(part.span()).to_owned();
                let mut looks = Looks(false);
                looks.visit_expr(part);
                if looks.0 {
                    for outcome in [true, false] {
                        let what = format!("`{text}` taken as {outcome}");
                        self.add(Kind::Check, part.span(), Change::Outcome(outcome), &what);
                    }
                }
            }
        }
    }
}

/// Whether an expression calls one of `LOOKS`.
struct Looks(bool);

impl<'a> Visit<'a> for Looks {
    fn visit_expr_method_call(&mut self, call: &'a syn::ExprMethodCall) {
        self.0 |= LOOKS.iter().any(|look| call.method == look);
        visit::visit_expr_method_call(self, call);
    }
    fn visit_expr_path(&mut self, path: &'a syn::ExprPath) {
        let last = path.path.segments.last();
        self.0 |= last.is_some_and(|last| LOOKS.iter().any(|look| last.ident == look));
    }
}

impl<'a> Visit<'a> for Finder<'_> {
    fn visit_item_mod(&mut self, module: &'a syn::ItemMod) {
        if is_built(&module.attrs) && module.ident != "spec" {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'a syn::ItemFn) {
        let outer = std::mem::replace(&mut self.function, function.sig.ident.to_string());
        visit::visit_item_fn(self, function);
        self.function = outer;
    }

    fn visit_impl_item_fn(&mut self, function: &'a syn::ImplItemFn) {
        if is_built(&function.attrs) {
            let outer = std::mem::replace(&mut self.function, function.sig.ident.to_string());
            visit::visit_impl_item_fn(self, function);
            self.function = outer;
        }
    }

    fn visit_item_impl(&mut self, item: &'a syn::ItemImpl) {
        if is_built(&item.attrs) {
            visit::visit_item_impl(self, item);
        }
    }

    fn visit_expr_method_call(&mut self, call: &'a syn::ExprMethodCall) {
        if !is_built(&call.attrs) {
            return;
        }
        let method = call.method.to_string();
        self.weaken(&method, false, &call.args);
        if method == "compare_exchange"
            && let (Some(new), Some(success)) = (call.args.get(1), call.args.get(2))
        {
            let receiver = self.text(call.receiver.span());
            let (new, success) = (self.text(new.span()), self.text(success.span()));
            let replacement =
                format!("crate::sync::mutant::stored({receiver}.swap({new}, {success}))");
            let what = format!("`{receiver}` stored, not exchanged");
            self.add(
                Kind::Store,
                call.span(),
                Change::Replace(replacement),
                &what,
            );
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_call(&mut self, call: &'a syn::ExprCall) {
        let name = self.text(call.func.span()).to_owned();
        let is_fence = name.ends_with("fence");
        self.weaken(&name, is_fence, &call.args);
        if is_fence {
            let what = format!("`{name}` dropped");
            self.add(
                Kind::Fence,
                call.span(),
                Change::Replace("()".into()),
                &what,
            );
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_if(&mut self, branch: &'a syn::ExprIf) {
        self.skip_checks(&branch.cond);
        visit::visit_expr_if(self, branch);
    }

    fn visit_arm(&mut self, arm: &'a syn::Arm) {
        if let Some((_, guard)) = &arm.guard {
            self.skip_checks(guard);
        }
        visit::visit_arm(self, arm);
    }
}

/// Whether an item is part of the crate as users build it, or as loom's models do: what stands in
/// for a system call there is broken too.
fn is_built(attributes: &[syn::Attribute]) -> bool {
    ["", "dwell_loom"].iter().any(|name| {
        attributes.iter().all(|attribute| match &attribute.meta {
            Meta::List(list) if list.path.is_ident("cfg") => {
                list.parse_args::<Meta>().is_ok_and(|cfg| holds(&cfg, name))
            }
            _ => true,
        })
    })
}

/// Whether a condition holds if `name` is set, and none of the project's other names, nor `test`.
fn holds(cfg: &Meta, name: &str) -> bool {
    match cfg {
        Meta::List(list) => {
            let parts = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
            let parts = parts.unwrap_or_default();
            let mut parts = parts.iter().map(|part| holds(part, name));
            if list.path.is_ident("not") {
                !parts.any(|part| part)
            } else if list.path.is_ident("any") {
                parts.any(|part| part)
            } else {
                parts.all(|part| part)
            }
        }
        Meta::Path(path) => path.is_ident(name),
        Meta::NameValue(_) => true,
    }
}
