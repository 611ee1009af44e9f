//! Which planted fault an error of the compiler is due to.

use crate::plant::Fault;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Expr, ExprIf, Lit, UnOp};

/// A function that so often does not build loses all its faults.
const CHANCES: usize = 3;

type Place = (usize, usize);

/// From one place to another, both lines and columns from 1.
#[derive(Clone, Copy)]
struct Region(Place, Place);

impl Region {
    fn of(tokens: &impl Spanned) -> Self {
        let span = tokens.span();
        Self((span.start().line, span.start().column + 1), (span.end().line, span.end().column + 1))
    }

    fn holds(&self, other: &Region) -> bool {
        self.0 <= other.0 && other.1 <= self.1
    }
}

/// A switch in a written file: what only its fault brings, and all that it encloses.
struct Switch {
    number: u32,
    own: Vec<Region>,
    other: Option<Region>,
}

/// The switches and functions of a written file.
#[derive(Default)]
struct Written {
    switches: Vec<Switch>,
    functions: Vec<Region>,
}

/// The number of `crate::planted::on(7u32)`.
fn switch(expression: &Expr) -> Option<u32> {
    let Expr::Call(call) = expression else { return None };
    let Expr::Path(path) = &*call.func else { return None };
    let names: Vec<String> = path.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
    match (names.join("::").as_str(), call.args.first()) {
        ("crate::planted::on", Some(Expr::Lit(literal))) => match &literal.lit {
            Lit::Int(number) => number.base10_parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

impl Visit<'_> for Written {
    fn visit_expr_if(&mut self, choice: &ExprIf) {
        if let Some(number) = switch(&choice.cond) {
            let other = choice.else_branch.as_ref().map(|(_, other)| Region::of(other));
            let own = vec![Region::of(&choice.cond), Region::of(&choice.then_branch)];
            self.switches.push(Switch { number, own, other });
        }
        visit::visit_expr_if(self, choice);
    }

    fn visit_expr_unary(&mut self, unary: &syn::ExprUnary) {
        if let (UnOp::Not(_), Some(number)) = (unary.op, switch(&unary.expr)) {
            self.switches.push(Switch { number, own: vec![Region::of(unary)], other: None });
        }
        visit::visit_expr_unary(self, unary);
    }

    fn visit_expr_binary(&mut self, binary: &syn::ExprBinary) {
        if let Some(number) = switch(&binary.left) {
            self.switches.push(Switch { number, own: vec![Region::of(&binary.left)], other: None });
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_item_fn(&mut self, function: &syn::ItemFn) {
        self.functions.push(Region::of(function));
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &syn::ImplItemFn) {
        self.functions.push(Region::of(function));
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &syn::TraitItemFn) {
        self.functions.push(Region::of(function));
        visit::visit_trait_item_fn(self, function);
    }
}

impl Written {
    /// The fault whose own code is all around the region; the innermost of several.
    fn own(&self, region: &Region) -> Option<u32> {
        let around = |switch: &&Switch| switch.own.iter().any(|own| own.holds(region));
        // inner ones come later
        self.switches.iter().rfind(around).map(|switch| switch.number)
    }

    /// The fault beside which the region stands.
    fn beside(&self, region: &Region) -> Option<u32> {
        let beside = |switch: &&Switch| switch.other.is_some_and(|other| other.holds(region));
        self.switches.iter().rfind(beside).map(|switch| switch.number)
    }

    /// All faults in the innermost function around the region.
    fn all_around(&self, region: &Region) -> Vec<u32> {
        let Some(function) = self.functions.iter().rev().find(|function| function.holds(region)) else {
            return Vec::new();
        };
        let inside = |switch: &&Switch| switch.own.iter().any(|own| function.holds(own));
        self.switches.iter().filter(inside).map(|switch| switch.number).collect()
    }
}

/// Finds faults that break the build. It remembers, so that it comes to an end soon.
#[derive(Default)]
pub struct Locator {
    broken: BTreeMap<String, usize>,
}

impl Locator {
    /// The faults to leave out next.
    pub fn broken(&mut self, copy: &Path, faults: &[Fault], messages: &[serde_json::Value]) -> BTreeSet<u32> {
        let known: BTreeMap<u32, &Fault> = faults.iter().map(|fault| (fault.number, fault)).collect();
        let mut files: BTreeMap<String, Written> = BTreeMap::new();
        let (mut found, mut functions) = (BTreeSet::new(), BTreeSet::new());
        for message in messages.iter().map(|line| &line["message"]).filter(|message| message["level"] == "error") {
            let (mut own, mut beside, mut around) = (BTreeSet::new(), None, Vec::new());
            for span in places(message) {
                let Some(name) = span["file_name"].as_str() else { continue };
                let written = files.entry(name.to_owned()).or_insert_with(|| read(&copy.join(name)));
                let at = |name: &str| span[name].as_u64().unwrap_or(0) as usize;
                let region = Region((at("line_start"), at("column_start")), (at("line_end"), at("column_end")));
                own.extend(written.own(&region));
                if span["is_primary"] == true {
                    beside = beside.or(written.beside(&region));
                    around.extend(written.all_around(&region));
                }
            }
            if own.is_empty() {
                own.extend(beside);
            }
            if own.is_empty() {
                own.extend(&around);
            }
            if own.is_empty() && message["code"].is_object() {
                println!("{}", message["rendered"].as_str().unwrap_or_default());
            }
            let in_function = own.iter().chain(&around).filter_map(|number| known.get(number));
            functions.extend(in_function.take(1).map(|fault| fault.function.clone()));
            found.extend(own);
        }
        for function in functions {
            let times = self.broken.entry(function.clone()).or_default();
            *times += 1;
            if *times >= CHANCES {
                found.extend(faults.iter().filter(|fault| fault.function == function).map(|fault| fault.number));
            }
        }
        found
    }
}

/// All places that a message points to, its notes too.
fn places(message: &serde_json::Value) -> Vec<&serde_json::Value> {
    let mut all = Vec::new();
    for span in message["spans"].as_array().into_iter().flatten() {
        let mut span = span;
        // where a macro was called, not where it is written
        while span["expansion"].is_object() && !span["file_name"].as_str().is_some_and(|name| name.starts_with("src/"))
        {
            span = &span["expansion"]["span"];
        }
        all.push(span);
    }
    all
}

fn read(file: &Path) -> Written {
    let mut written = Written::default();
    if let Some(tree) = std::fs::read_to_string(file).ok().and_then(|text| syn::parse_file(&text).ok()) {
        written.visit_file(&tree);
    }
    written
}
