//! Faults planted in the source of one file: each is there beside the right code, and a
//! number in the environment says which one acts. So one build serves all.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use std::collections::BTreeSet;
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{BinOp, Block, Expr, ExprMethodCall, ItemFn, ReturnType, Stmt, Type, parse_quote};

/// One fault.
#[derive(Clone, Debug)]
pub struct Fault {
    pub number: u32,
    pub file: String,
    pub line: usize,
    /// What is planted, in a few words.
    pub what: String,
    /// The function that it stands in: its file, line and name.
    pub function: String,
    /// It changes nothing: what takes the place of a fallback is the fallback.
    pub same: bool,
}

/// Plants faults from a number on; those in `without` are numbered but left out.
pub struct Planter<'a> {
    file: String,
    next: u32,
    without: &'a BTreeSet<u32>,
    /// Code that runs before the program does cannot ask the environment.
    fixed: bool,
    function: String,
    /// The next fault changes nothing.
    same: bool,
    pub faults: Vec<Fault>,
}

impl<'a> Planter<'a> {
    pub fn new(file: &str, next: u32, without: &'a BTreeSet<u32>) -> Self {
        Self {
            file: file.to_owned(),
            next,
            without,
            fixed: false,
            function: file.to_owned(),
            same: false,
            faults: Vec::new(),
        }
    }

    /// The number after the last one.
    pub fn next(&self) -> u32 {
        self.next
    }

    /// The switch of a new fault; `None` where it is to be left out.
    fn switch(&mut self, line: usize, what: impl Into<String>) -> Option<TokenStream> {
        let number = self.next;
        self.next += 1;
        if self.fixed || self.without.contains(&number) {
            return None;
        }
        let (file, function, same) = (self.file.clone(), self.function.clone(), self.same);
        self.faults.push(Fault { number, file, line, what: what.into(), function, same });
        Some(quote!(crate::planted::on(#number)))
    }

    /// What stands inside of a function; gives back what it is inside of.
    fn enter(&mut self, signature: &syn::Signature) -> (bool, String) {
        let name = format!("{}:{} {}()", self.file, signature.ident.span().start().line, signature.ident);
        let outside = (self.fixed, std::mem::replace(&mut self.function, name));
        self.fixed |= signature.constness.is_some();
        outside
    }

    /// The expression with a fault beside it; `right` has its own faults inside already.
    fn beside(&mut self, right: &mut Expr, wrong: &Expr, what: String) {
        if let Some(on) = self.switch(wrong.span().start().line, what) {
            let inner = right.clone();
            *right = parse_quote!((if #on { #wrong } else { #inner }));
        }
    }

    fn method(&mut self, right: &mut Expr, original: &ExprMethodCall) {
        let receiver = &original.receiver;
        let name = original.method.to_string();
        let wrong: Option<Expr> = match (name.as_str(), original.args.len()) {
            ("min" | "max" | "or" | "or_else" | "saturating_sub" | "saturating_add", 1)
            | ("clamp", 2)
            | ("abs" | "trim", 0) => Some(parse_quote!(#receiver)),
            ("unwrap_or" | "unwrap_or_else", 1) => Some(parse_quote!(#receiver.unwrap_or_default())),
            ("map_or", 2) => {
                let change = &original.args[1];
                Some(parse_quote!(#receiver.map(#change).unwrap_or_default()))
            }
            _ => None,
        };
        if let Some(wrong) = wrong {
            let fallback = original.args.first().is_some_and(is_default);
            self.same = fallback && matches!(name.as_str(), "unwrap_or" | "unwrap_or_else" | "map_or");
            self.beside_at(right, &wrong, format!(".{name}() left out"), original.method.span().start().line);
            self.same = false;
        }
    }

    fn beside_at(&mut self, right: &mut Expr, wrong: &Expr, what: String, line: usize) {
        if let Some(on) = self.switch(line, what) {
            let inner = right.clone();
            *right = parse_quote!((if #on { #wrong } else { #inner }));
        }
    }

    /// A condition of a closure that chooses is always met.
    fn choosing(&mut self, call: &mut ExprMethodCall) {
        let name = call.method.to_string();
        let always = ["filter", "retain", "take_while", "is_some_and", "any", "position", "find"];
        let never = ["is_none_or", "all"];
        let line = call.method.span().start().line;
        let Some(Expr::Closure(closure)) = call.args.first_mut() else { return };
        let body = &closure.body;
        if always.contains(&name.as_str()) {
            if let Some(on) = self.switch(line, format!(".{name}() takes everything")) {
                *closure.body = parse_quote!((#on || (#body)));
            }
        } else if never.contains(&name.as_str())
            && let Some(on) = self.switch(line, format!(".{name}() takes nothing"))
        {
            *closure.body = parse_quote!((!#on && (#body)));
        }
    }

    fn body(&mut self, output: &ReturnType, block: &mut Block, name: &str, line: usize) {
        let ReturnType::Type(_, of) = output else {
            if !block.stmts.is_empty()
                && let Some(on) = self.switch(line, format!("{name}() does nothing"))
            {
                block.stmts.insert(0, parse_quote!(if #on { return; }));
            }
            return;
        };
        let values: Vec<(Expr, String)> = match returned(of).as_str() {
            "bool" => vec![(parse_quote!(true), "true".to_owned()), (parse_quote!(false), "false".to_owned())],
            "" => return,
            "Result" => vec![(parse_quote!(Ok(Default::default())), "Ok of nothing".to_owned())],
            "Option" => vec![(parse_quote!(None), "None".to_owned())],
            _ => vec![(parse_quote!(Default::default()), "nothing".to_owned())],
        };
        for (value, text) in values {
            if let Some(on) = self.switch(line, format!("{name}() gives {text}")) {
                block.stmts.insert(0, parse_quote!(if #on { return #value; }));
            }
        }
    }
}

/// Whether that is what `Default` gives anyway.
fn is_default(value: &Expr) -> bool {
    let text = value.to_token_stream().to_string().replace(' ', "");
    let plain = ["0", "0.0", "false", "\"\"", "None", "()", "&[]", "[]"].contains(&text.as_str());
    plain || text.ends_with("::new()") || text.ends_with("::default()") || text.ends_with("Vec::new")
}

/// The name of a type that a value can be made up for; empty for others.
fn returned(of: &Type) -> String {
    match of {
        Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default(),
        Type::Tuple(_) => "tuple".to_owned(),
        _ => String::new(),
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let text = attribute.to_token_stream().to_string();
        text.contains("cfg (test)") || text.contains("cfg(test)")
    })
}

fn has_let(expression: &Expr) -> bool {
    match expression {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

/// Another operator, as easily written by mistake.
fn other(operator: &BinOp) -> Option<(BinOp, &'static str)> {
    Some(match operator {
        BinOp::Lt(_) => (parse_quote!(<=), "< is <="),
        BinOp::Le(_) => (parse_quote!(<), "<= is <"),
        BinOp::Gt(_) => (parse_quote!(>=), "> is >="),
        BinOp::Ge(_) => (parse_quote!(>), ">= is >"),
        BinOp::Eq(_) => (parse_quote!(!=), "== is !="),
        BinOp::Ne(_) => (parse_quote!(==), "!= is =="),
        BinOp::And(_) => (parse_quote!(||), "&& is ||"),
        BinOp::Or(_) => (parse_quote!(&&), "|| is &&"),
        BinOp::Add(_) => (parse_quote!(-), "+ is -"),
        BinOp::Sub(_) => (parse_quote!(+), "- is +"),
        BinOp::Mul(_) => (parse_quote!(/), "* is /"),
        BinOp::Div(_) => (parse_quote!(*), "/ is *"),
        BinOp::Rem(_) => (parse_quote!(/), "% is /"),
        _ => return None,
    })
}

impl VisitMut for Planter<'_> {
    fn visit_item_mut(&mut self, item: &mut syn::Item) {
        let tests = match item {
            syn::Item::Mod(module) => is_test(&module.attrs),
            syn::Item::Fn(function) => is_test(&function.attrs),
            syn::Item::Const(_) | syn::Item::Static(_) | syn::Item::Macro(_) => true,
            _ => false,
        };
        if !tests {
            visit_mut::visit_item_mut(self, item);
        }
    }

    fn visit_item_fn_mut(&mut self, function: &mut ItemFn) {
        let outside = self.enter(&function.sig);
        visit_mut::visit_item_fn_mut(self, function);
        let line = function.sig.ident.span().start().line;
        let name = function.sig.ident.to_string();
        self.body(&function.sig.output.clone(), &mut function.block, &name, line);
        (self.fixed, self.function) = outside;
    }

    fn visit_impl_item_mut(&mut self, item: &mut syn::ImplItem) {
        if !matches!(item, syn::ImplItem::Const(_)) {
            visit_mut::visit_impl_item_mut(self, item);
        }
    }

    fn visit_impl_item_fn_mut(&mut self, function: &mut syn::ImplItemFn) {
        let outside = self.enter(&function.sig);
        visit_mut::visit_impl_item_fn_mut(self, function);
        let name = function.sig.ident.to_string();
        // what is printed for whom develops is no behaviour
        if name != "fmt" {
            let line = function.sig.ident.span().start().line;
            self.body(&function.sig.output.clone(), &mut function.block, &name, line);
        }
        (self.fixed, self.function) = outside;
    }

    fn visit_trait_item_fn_mut(&mut self, function: &mut syn::TraitItemFn) {
        let outside = self.enter(&function.sig);
        visit_mut::visit_trait_item_fn_mut(self, function);
        (self.fixed, self.function) = outside;
    }

    fn visit_type_mut(&mut self, _: &mut Type) {}

    fn visit_pat_mut(&mut self, _: &mut syn::Pat) {}

    fn visit_attribute_mut(&mut self, _: &mut syn::Attribute) {}

    fn visit_expr_repeat_mut(&mut self, repeat: &mut syn::ExprRepeat) {
        self.visit_expr_mut(&mut repeat.expr);
    }

    fn visit_stmt_mut(&mut self, statement: &mut Stmt) {
        let original = statement.clone();
        visit_mut::visit_stmt_mut(self, statement);
        if let Stmt::Expr(expression, Some(_)) = &original {
            let acts = match expression {
                Expr::MethodCall(_) | Expr::Call(_) | Expr::Try(_) | Expr::Assign(_) => true,
                Expr::Binary(binary) => binary.op.to_token_stream().to_string().ends_with('='),
                _ => false,
            };
            if acts && let Some(on) = self.switch(expression.span().start().line, "a statement left out") {
                let inner = statement.clone();
                *statement = parse_quote!(if !#on { #inner });
            }
        }
    }

    fn visit_expr_mut(&mut self, expression: &mut Expr) {
        let original = expression.clone();
        visit_mut::visit_expr_mut(self, expression);
        match &original {
            Expr::Binary(binary) if !has_let(&original) => {
                if let Some((operator, what)) = other(&binary.op) {
                    let (left, right) = (&binary.left, &binary.right);
                    let wrong: Expr = parse_quote!((#left) #operator (#right));
                    let line = binary.op.span().start().line;
                    self.beside_at(expression, &wrong, what.to_owned(), line);
                }
            }
            Expr::Unary(unary) if matches!(unary.op, syn::UnOp::Not(_)) => {
                self.beside(expression, &unary.expr.clone(), "! left out".to_owned());
            }
            Expr::MethodCall(call) => {
                if let Expr::MethodCall(inside) = expression {
                    self.choosing(inside);
                }
                self.method(expression, call);
            }
            _ => {}
        }
    }
}
