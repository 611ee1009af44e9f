//! OpenNebula's two small languages: requirements (`ARCH = "x86*" & !(CURRENT_VMS = 7)`)
//! and ranks (`FREE_CPU - 2 * RUNNING_VMS`).
//!
//! Grammar and meaning follow oned's `expr_bool` and `expr_arith`: in requirements
//! `!`, `&` and `|` share one precedence and associate to the left; an attribute that
//! is missing makes its term false, `!=` included; strings are `fnmatch` globs.

use super::ids::VmId;
use std::fmt;
use thiserror::Error;

mod glob;
mod parser;

pub use parser::{parse_rank, parse_requirement};

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{problem} at column {column}")]
pub struct ExpressionError {
    /// What was found and what was expected.
    pub problem: String,
    /// Counted from 1, in characters.
    pub column: usize,
}

/// A parsed requirement.
#[derive(Clone, Debug, PartialEq)]
pub enum Requirement {
    /// The empty text.
    Always,
    /// `ATTRIBUTE op VALUE`.
    Term(String, Comparison, Literal),
    /// `! x`
    Not(Box<Requirement>),
    /// `x & y`
    And(Box<Requirement>, Box<Requirement>),
    /// `x | y`
    Or(Box<Requirement>, Box<Requirement>),
}

/// The operators of a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`, numbers only.
    Less,
    /// `>`, numbers only.
    Greater,
    /// `@>`: some value of a repeated attribute equals.
    Contains,
}

/// The right side of a term.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// Digits.
    Integer(i64),
    /// Digits with a point.
    Float(f64),
    /// A word or a quoted string; an empty quoted string matches nothing.
    Text(String),
}

/// A parsed rank; higher is better.
#[derive(Clone, Debug, PartialEq)]
pub enum Rank {
    /// A constant.
    Number(f64),
    /// An attribute, 0 when missing or not a number.
    Attribute(String),
    /// `- x`
    Negate(Box<Rank>),
    /// `x op y` with op one of `+ - * /`.
    Binary(Box<Rank>, char, Box<Rank>),
}

/// What an expression is evaluated on: an object and, for hosts, who runs there.
pub trait Facts {
    /// The values of an attribute, in document order, handed to `visit` until it returns true.
    fn any_value(&self, name: &str, visit: &mut dyn FnMut(&str) -> bool) -> bool;

    /// Whether the VM is on this host now or by the plan so far.
    fn runs(&self, vm: VmId) -> bool;
}

const CURRENT_VMS: &str = "CURRENT_VMS";

/// What a CURRENT_VMS term asks: it reads as a VM's id where that runs and as -1 where it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// The VM is there.
    Here(VmId),
    /// It is not.
    Away(VmId),
    /// What never is.
    Never,
}

impl Requirement {
    /// Whether the object of `facts` meets the requirement.
    pub fn holds(&self, facts: &dyn Facts) -> bool {
        match self {
            Self::Always => true,
            Self::Term(name, op, value) => match self.presence() {
                Some(Presence::Here(vm)) => facts.runs(vm),
                Some(Presence::Away(vm)) => !facts.runs(vm),
                Some(Presence::Never) => false,
                None => compare(name, *op, value, facts),
            },
            Self::Not(inner) => !inner.holds(facts),
            Self::And(a, b) => a.holds(facts) && b.holds(facts),
            Self::Or(a, b) => a.holds(facts) || b.holds(facts),
        }
    }

    /// The smallest part that makes it false; `None` where it holds.
    #[must_use]
    pub fn false_part(&self, facts: &dyn Facts) -> Option<&Self> {
        match self {
            Self::And(a, b) => a.false_part(facts).or_else(|| b.false_part(facts)),
            _ => (!self.holds(facts)).then_some(self),
        }
    }

    /// Calls `visit` for every VM whose presence a CURRENT_VMS term asks for.
    pub fn each_vm_wanted(&self, visit: &mut dyn FnMut(VmId)) {
        self.wanted(false, visit);
    }

    /// Calls `visit` for every VM that a CURRENT_VMS term names: the presence of any other
    /// changes nothing.
    pub fn each_vm_named(&self, visit: &mut dyn FnMut(VmId)) {
        match self {
            Self::Always => {}
            Self::Term(name, _, value) => {
                if let Some(vm) = vm_of(value).filter(|_| name == CURRENT_VMS) {
                    visit(vm);
                }
            }
            Self::Not(inner) => inner.each_vm_named(visit),
            Self::And(a, b) | Self::Or(a, b) => {
                a.each_vm_named(visit);
                b.each_vm_named(visit);
            }
        }
    }

    /// What a CURRENT_VMS term asks of its object; `None` for any other part.
    #[must_use]
    pub fn presence(&self) -> Option<Presence> {
        let Self::Term(name, op, value) = self else { return None };
        if name != CURRENT_VMS {
            return None;
        }
        let Some(vm) = vm_of(value) else { return Some(Presence::Never) };
        Some(match op {
            Comparison::Equal | Comparison::Contains => Presence::Here(vm),
            Comparison::NotEqual => Presence::Away(vm),
            Comparison::Less if vm.0 > -1 => Presence::Away(vm),
            Comparison::Greater if vm.0 < -1 => Presence::Away(vm),
            Comparison::Less | Comparison::Greater => Presence::Never,
        })
    }

    fn wanted(&self, negated: bool, visit: &mut dyn FnMut(VmId)) {
        match self {
            Self::Always => {}
            Self::Term(name, op, value) => {
                let asks = if negated { Comparison::NotEqual } else { Comparison::Equal };
                let asks = *op == asks || (!negated && *op == Comparison::Contains);
                if let Some(id) = vm_of(value).filter(|_| asks && name == CURRENT_VMS) {
                    visit(id);
                }
            }
            Self::Not(inner) => inner.wanted(!negated, visit),
            Self::And(a, b) | Self::Or(a, b) => {
                a.wanted(negated, visit);
                b.wanted(negated, visit);
            }
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Always => Ok(()),
            Self::Term(name, op, value) => write!(f, "{name} {op} {value}"),
            Self::Not(inner) => write!(f, "!({inner})"),
            Self::And(a, b) => write!(f, "{a} & {b}"),
            Self::Or(a, b) => write!(f, "{a} | {b}"),
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::Greater => ">",
            Self::Contains => "@>",
        })
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

fn vm_of(value: &Literal) -> Option<VmId> {
    match value {
        Literal::Integer(id) => i32::try_from(*id).ok().map(VmId),
        Literal::Text(text) => text.trim().parse().ok().map(VmId),
        Literal::Float(_) => None,
    }
}

fn compare(name: &str, op: Comparison, value: &Literal, facts: &dyn Facts) -> bool {
    let test = |found: &str| match value {
        Literal::Integer(n) => ordered(op, leading_number(found).trunc(), *n as f64),
        Literal::Float(x) => ordered(op, leading_number(found), *x),
        Literal::Text(pattern) if pattern.is_empty() => false,
        Literal::Text(pattern) => match op {
            Comparison::Equal | Comparison::Contains => glob::matches(pattern, found),
            Comparison::NotEqual => !glob::matches(pattern, found),
            Comparison::Less | Comparison::Greater => false,
        },
    };
    if op == Comparison::Contains {
        return facts.any_value(name, &mut |found| test(found));
    }
    let mut result = false;
    facts.any_value(name, &mut |found| {
        result = test(found);
        true
    });
    result
}

fn ordered(op: Comparison, found: f64, wanted: f64) -> bool {
    match op {
        Comparison::Equal | Comparison::Contains => found == wanted,
        Comparison::NotEqual => found != wanted,
        Comparison::Less => found < wanted,
        Comparison::Greater => found > wanted,
    }
}

/// The number at the start of a text, as C's `strtod`; 0 when there is none.
fn leading_number(text: &str) -> f64 {
    let text = text.trim_start();
    let number = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E');
    let mut end = text.find(|c| !number(c)).unwrap_or(text.len());
    while end > 0 {
        if let Ok(value) = text[..end].parse::<f64>() {
            return value;
        }
        end -= 1;
    }
    0.0
}

impl Rank {
    /// The rank's value; an attribute's value comes from `value`, by name.
    ///
    /// oned keeps ranks as whole numbers: the fraction is dropped, and what is
    /// no number (a division by zero) counts as the lowest rank.
    pub fn value(&self, value: &dyn Fn(&str) -> Option<f64>) -> f64 {
        whole(self.exact(value))
    }

    fn exact(&self, value: &dyn Fn(&str) -> Option<f64>) -> f64 {
        match self {
            Self::Number(n) => *n,
            Self::Attribute(name) => value(name).unwrap_or(0.0),
            Self::Negate(inner) => -inner.exact(value),
            Self::Binary(a, op, b) => reckoned(a.exact(value), *op, b.exact(value)),
        }
    }
}

/// A rank as oned keeps it: see [`Rank::value`].
#[must_use]
pub fn whole(rank: f64) -> f64 {
    if rank.is_finite() { rank.trunc() } else { f64::MIN }
}

/// One of the four operations of ranks.
#[must_use]
pub fn reckoned(a: f64, op: char, b: f64) -> f64 {
    match op {
        '+' => a + b,
        '-' => a - b,
        '*' => a * b,
        _ => a / b,
    }
}

/// The number that an attribute's text begins with, for ranks.
#[must_use]
pub fn numeric(text: &str) -> f64 {
    leading_number(text)
}

#[cfg(test)]
mod tests;
