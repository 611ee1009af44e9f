//! Text to expression. Depth is bounded, so that no input exhausts the stack.

use super::{Comparison, ExpressionError, Literal, Rank, Requirement};

/// Deeper nesting than this is refused; real expressions nest a handful of levels.
const MAX_DEPTH: usize = 100;
/// Longer patterns than this are refused, in bytes: matching takes pattern x text.
const MAX_PATTERN: usize = 1_000;
/// Longer chains than this are refused; they would make trees too deep to drop.
const MAX_TERMS: usize = 2_000;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Sign(char),
    Quoted(String),
    Word(String),
    Integer(i64),
    Float(f64),
}

/// Parses SCHED_REQUIREMENTS and AUTOMATIC_REQUIREMENTS.
///
/// # Errors
/// When the text is not of oned's grammar, or nests deeper than 100 levels.
pub fn parse_requirement(text: &str) -> Result<Requirement, ExpressionError> {
    let mut parser = Parser::new(text, "@!&|=<>()")?;
    if parser.tokens.is_empty() {
        return Ok(Requirement::Always);
    }
    let result = parser.requirement(0)?;
    parser.end()?;
    Ok(result)
}

/// Parses SCHED_RANK and SCHED_DS_RANK. The empty text is 0.
///
/// # Errors
/// When the text is not of oned's grammar, or nests deeper than 100 levels.
pub fn parse_rank(text: &str) -> Result<Rank, ExpressionError> {
    let mut parser = Parser::new(text, "+-*/()")?;
    if parser.tokens.is_empty() {
        return Ok(Rank::Number(0.0));
    }
    let result = parser.sum(0)?;
    parser.end()?;
    Ok(result)
}

struct Parser {
    tokens: Vec<(Token, usize)>,
    at: usize,
}

impl Parser {
    fn new(text: &str, signs: &str) -> Result<Self, ExpressionError> {
        let tokens = tokenize(text, signs)?;
        Ok(Self { tokens, at: 0 })
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    fn take(&mut self, sign: char) -> bool {
        let found = self.peek() == Some(&Token::Sign(sign));
        self.at += usize::from(found);
        found
    }

    fn error<T>(&self, problem: &str) -> Result<T, ExpressionError> {
        let column = self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |(_, column)| *column);
        Err(ExpressionError { problem: problem.to_owned(), column })
    }

    fn end(&self) -> Result<(), ExpressionError> {
        if self.at == self.tokens.len() { Ok(()) } else { self.error("unexpected text") }
    }

    fn enter(&self, depth: usize) -> Result<(), ExpressionError> {
        if depth > MAX_DEPTH { self.error("too many nested parentheses") } else { Ok(()) }
    }

    fn requirement(&mut self, depth: usize) -> Result<Requirement, ExpressionError> {
        let mut left = self.negation(depth)?;
        loop {
            if self.take('&') {
                left = Requirement::And(Box::new(left), Box::new(self.negation(depth)?));
            } else if self.take('|') {
                left = Requirement::Or(Box::new(left), Box::new(self.negation(depth)?));
            } else {
                return Ok(left);
            }
        }
    }

    fn negation(&mut self, depth: usize) -> Result<Requirement, ExpressionError> {
        self.enter(depth)?;
        if self.take('!') {
            return Ok(Requirement::Not(Box::new(self.negation(depth + 1)?)));
        }
        if self.take('(') {
            let inner = self.requirement(depth + 1)?;
            return if self.take(')') { Ok(inner) } else { self.error("expected ')'") };
        }
        self.term()
    }

    fn term(&mut self) -> Result<Requirement, ExpressionError> {
        let name = match self.peek() {
            Some(Token::Word(name) | Token::Quoted(name)) => name.clone(),
            _ => return self.error("expected an attribute name"),
        };
        self.at += 1;
        let op = self.comparison()?;
        let value = match self.peek() {
            Some(Token::Word(text) | Token::Quoted(text)) if text.len() > MAX_PATTERN => {
                return self.error("the pattern is too long");
            }
            Some(Token::Word(text) | Token::Quoted(text)) => Literal::Text(text.clone()),
            Some(Token::Integer(n)) => Literal::Integer(*n),
            Some(Token::Float(x)) => Literal::Float(*x),
            _ => return self.error("expected a value"),
        };
        if matches!(value, Literal::Text(_)) && matches!(op, Comparison::Less | Comparison::Greater) {
            return self.error("'<' and '>' compare numbers only");
        }
        self.at += 1;
        Ok(Requirement::Term(name, op, value))
    }

    fn comparison(&mut self) -> Result<Comparison, ExpressionError> {
        let op = match self.peek() {
            Some(Token::Sign('=')) => Comparison::Equal,
            Some(Token::Sign('<')) => Comparison::Less,
            Some(Token::Sign('>')) => Comparison::Greater,
            Some(Token::Sign('!')) => Comparison::NotEqual,
            Some(Token::Sign('@')) => Comparison::Contains,
            _ => return self.error("expected =, !=, <, > or @>"),
        };
        self.at += 1;
        match op {
            Comparison::NotEqual if !self.take('=') => self.error("expected '=' after '!'"),
            Comparison::Contains if !self.take('>') => self.error("expected '>' after '@'"),
            op => Ok(op),
        }
    }

    fn sum(&mut self, depth: usize) -> Result<Rank, ExpressionError> {
        let mut left = self.product(depth)?;
        loop {
            let op = match self.peek() {
                Some(Token::Sign(op @ ('+' | '-'))) => *op,
                // "FREE_CPU -5": the sign belongs to the number's text, the meaning is clear
                Some(Token::Integer(n)) if *n < 0 => '+',
                Some(Token::Float(x)) if *x < 0.0 => '+',
                _ => return Ok(left),
            };
            if matches!(self.peek(), Some(Token::Sign(_))) {
                self.at += 1;
            }
            left = Rank::Binary(Box::new(left), op, Box::new(self.product(depth)?));
        }
    }

    fn product(&mut self, depth: usize) -> Result<Rank, ExpressionError> {
        let mut left = self.factor(depth)?;
        while let Some(Token::Sign(op @ ('*' | '/'))) = self.peek() {
            let op = *op;
            self.at += 1;
            left = Rank::Binary(Box::new(left), op, Box::new(self.factor(depth)?));
        }
        Ok(left)
    }

    fn factor(&mut self, depth: usize) -> Result<Rank, ExpressionError> {
        self.enter(depth)?;
        if self.take('-') {
            return Ok(Rank::Negate(Box::new(self.factor(depth + 1)?)));
        }
        if self.take('(') {
            let inner = self.sum(depth + 1)?;
            return if self.take(')') { Ok(inner) } else { self.error("expected ')'") };
        }
        let value = match self.peek() {
            Some(Token::Word(name) | Token::Quoted(name)) => Rank::Attribute(name.clone()),
            Some(Token::Integer(n)) => Rank::Number(*n as f64),
            Some(Token::Float(x)) => Rank::Number(*x),
            _ => return self.error("expected an attribute or a number"),
        };
        self.at += 1;
        Ok(value)
    }
}

fn tokenize(text: &str, signs: &str) -> Result<Vec<(Token, usize)>, ExpressionError> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let start = i;
        let c = chars[i];
        let digit = |k: usize| chars.get(k).is_some_and(char::is_ascii_digit);
        let token = if c.is_whitespace() {
            i += 1;
            continue;
        } else if c.is_ascii_digit() || (c == '-' && digit(i + 1)) {
            i += 1;
            number(&chars, start, &mut i)
        } else if c.is_ascii_alphabetic() {
            while chars.get(i).is_some_and(|c| c.is_ascii_alphanumeric() || *c == '_') {
                i += 1;
            }
            Token::Word(chars[start..i].iter().collect())
        } else if c == '"' {
            let Some(length) = chars[i + 1..].iter().position(|&c| c == '"') else {
                return Err(ExpressionError { problem: "a quote is not closed".to_owned(), column: start + 1 });
            };
            i += length + 2;
            Token::Quoted(chars[start + 1..i - 1].iter().collect())
        } else if signs.contains(c) {
            i += 1;
            Token::Sign(c)
        } else {
            return Err(ExpressionError { problem: format!("unexpected '{c}'"), column: start + 1 });
        };
        tokens.push((token, start + 1));
        if tokens.len() > 4 * MAX_TERMS {
            return Err(ExpressionError { problem: "too many terms".to_owned(), column: start + 1 });
        }
    }
    Ok(tokens)
}

fn number(chars: &[char], start: usize, i: &mut usize) -> Token {
    let digit = |k: usize| chars.get(k).is_some_and(char::is_ascii_digit);
    while digit(*i) {
        *i += 1;
    }
    let whole: String = chars[start..*i].iter().collect();
    if chars.get(*i) == Some(&'.') && digit(*i + 1) {
        *i += 1;
        while digit(*i) {
            *i += 1;
        }
        let text: String = chars[start..*i].iter().collect();
        return Token::Float(text.parse().unwrap_or(0.0));
    }
    let limit = if whole.starts_with('-') { i64::MIN } else { i64::MAX };
    Token::Integer(whole.parse().unwrap_or(limit))
}
