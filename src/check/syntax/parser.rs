//! A parser of WGSL by recursive descent. Depth is bounded before by `guard`.

use super::{
    lexer::{Token, tokens},
    tree::*,
};

/// Where and why parsing ended.
pub type Failure = (Bytes, String);

/// The syntax tree of a file.
pub fn parse(source: &str) -> Result<Module<'_>, Failure> {
    let mut parser = Parser { tokens: tokens(source)?, at: 0, module: Module::default() };
    parser.module()?;
    Ok(parser.module)
}

struct Parser<'s> {
    tokens: Vec<(Token<'s>, Bytes)>,
    at: usize,
    module: Module<'s>,
}

type Parsed<T> = Result<T, Failure>;

impl<'s> Parser<'s> {
    fn peek(&self) -> Token<'s> {
        self.tokens[self.at].0
    }

    fn peek_second(&self) -> Token<'s> {
        self.tokens.get(self.at + 1).map_or(Token::End, |(token, _)| *token)
    }

    fn span(&self) -> Bytes {
        self.tokens[self.at].1.clone()
    }

    fn start(&self) -> usize {
        self.span().start
    }

    /// The end of the last token.
    fn end(&self) -> usize {
        self.at.checked_sub(1).map_or(0, |last| self.tokens[last].1.end)
    }

    fn advance(&mut self) -> (Token<'s>, Bytes) {
        let token = self.tokens[self.at].clone();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        token
    }

    /// Passes the operator or sign here. In an expression `--` is two of them.
    fn advance_sign(&mut self) {
        if self.is("--") {
            let (token, span) = &mut self.tokens[self.at];
            *token = Token::Symbol("-");
            span.start += 1;
        } else {
            self.advance();
        }
    }

    fn is(&self, symbol: &str) -> bool {
        matches!(self.peek(), Token::Symbol(found) if found == symbol)
    }

    fn is_word(&self, word: &str) -> bool {
        self.peek() == Token::Word(word)
    }

    fn eat(&mut self, symbol: &str) -> bool {
        let found = self.is(symbol);
        if found {
            self.advance();
        }
        found
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.advance();
        }
        found
    }

    fn fail<T>(&self, wanted: &str) -> Parsed<T> {
        Err((self.span(), format!("expected {wanted}")))
    }

    fn expect(&mut self, symbol: &'static str) -> Parsed<()> {
        if self.eat(symbol) { Ok(()) } else { self.fail(&format!("`{symbol}`")) }
    }

    fn ident(&mut self) -> Parsed<Ident<'s>> {
        match self.peek() {
            Token::Word(name) if name != "_" => {
                let (_, span) = self.advance();
                Ok(Ident { name, span })
            }
            _ => self.fail("a name"),
        }
    }

    fn next_id(&self) -> ExprId {
        u32::try_from(self.module.expressions.len()).unwrap_or(u32::MAX)
    }

    fn push(&mut self, kind: ExprKind<'s>, span: Bytes) -> ExprId {
        let id = self.next_id();
        self.module.expressions.push(Expr { kind, span });
        id
    }

    fn module(&mut self) -> Parsed<()> {
        loop {
            if self.eat(";") {
                continue;
            }
            if self.peek() == Token::End {
                return Ok(());
            }
            let start = self.start();
            if let Some(kind) = self.directive()? {
                let late = !self.module.declarations.is_empty();
                let span = start..self.end();
                self.module.directives.push(Directive { kind, span, late });
                continue;
            }
            let attributes = self.attributes()?;
            let kind = self.declaration()?;
            let span = start..self.end();
            self.module.declarations.push(Declaration { attributes, kind, span });
        }
    }

    fn directive(&mut self) -> Parsed<Option<DirectiveKind<'s>>> {
        let kind = match self.peek() {
            Token::Word("enable") => DirectiveKind::Enable(self.names()?),
            Token::Word("requires") => DirectiveKind::Requires(self.names()?),
            Token::Word("diagnostic") => {
                self.advance();
                self.expect("(")?;
                let filter = self.filter()?;
                self.expect(")")?;
                DirectiveKind::Diagnostic(filter)
            }
            _ => return Ok(None),
        };
        self.expect(";")?;
        Ok(Some(kind))
    }

    fn names(&mut self) -> Parsed<Vec<Ident<'s>>> {
        self.advance();
        let mut names = vec![self.ident()?];
        while self.eat(",") && !self.is(";") {
            names.push(self.ident()?);
        }
        Ok(names)
    }

    fn filter(&mut self) -> Parsed<Filter<'s>> {
        let severity = self.ident()?;
        self.expect(",")?;
        let first = self.ident()?;
        let mut rule = (first.name, first.span);
        if self.eat(".") {
            let second = self.ident()?;
            rule = (second.name, rule.1.start..second.span.end);
        }
        self.eat(",");
        Ok(Filter { severity, rule })
    }

    fn attributes(&mut self) -> Parsed<Vec<Attribute<'s>>> {
        let mut found = Vec::new();
        while self.is("@") {
            let start = self.start();
            self.advance();
            let name = self.ident()?;
            let arguments = if self.is("(") { Some(self.arguments()?) } else { None };
            found.push(Attribute { name, arguments, span: start..self.end() });
        }
        Ok(found)
    }

    fn arguments(&mut self) -> Parsed<Vec<ExprId>> {
        self.expect("(")?;
        let mut arguments = Vec::new();
        while !self.is(")") {
            arguments.push(self.expression()?);
            if !self.eat(",") {
                break;
            }
        }
        self.expect(")")?;
        Ok(arguments)
    }

    fn template(&mut self) -> Parsed<Vec<ExprId>> {
        let mut arguments = Vec::new();
        if self.peek() == Token::TemplateOpen {
            self.advance();
            while self.peek() != Token::TemplateClose {
                arguments.push(self.expression()?);
                if !self.eat(",") {
                    break;
                }
            }
            if self.peek() != Token::TemplateClose {
                return self.fail("`>`");
            }
            self.advance();
        }
        Ok(arguments)
    }

    fn declaration(&mut self) -> Parsed<DeclarationKind<'s>> {
        let Token::Word(word) = self.peek() else { return self.fail("a declaration") };
        match word {
            "var" | "const" | "override" => {
                let variable = self.variable()?;
                self.expect(";")?;
                Ok(DeclarationKind::Variable(variable))
            }
            "alias" => {
                self.advance();
                let name = self.ident()?;
                self.expect("=")?;
                let ty = self.type_expression()?;
                self.expect(";")?;
                Ok(DeclarationKind::Alias { name, ty })
            }
            "struct" => {
                self.advance();
                let name = self.ident()?;
                self.expect("{")?;
                let members = self.members("}")?;
                Ok(DeclarationKind::Struct { name, members })
            }
            "fn" => Ok(DeclarationKind::Function(self.function()?)),
            "const_assert" => {
                self.advance();
                let condition = self.expression()?;
                self.expect(";")?;
                Ok(DeclarationKind::ConstAssert(condition))
            }
            _ => self.fail("a declaration"),
        }
    }

    /// Members or parameters, and the bracket that closes them.
    fn members(&mut self, close: &'static str) -> Parsed<Vec<Member<'s>>> {
        let mut members = Vec::new();
        while !self.is(close) {
            let attributes = self.attributes()?;
            let name = self.ident()?;
            self.expect(":")?;
            let ty = self.type_expression()?;
            members.push(Member { attributes, name, ty });
            if !self.eat(",") {
                break;
            }
        }
        self.expect(close)?;
        Ok(members)
    }

    fn function(&mut self) -> Parsed<Function<'s>> {
        self.advance();
        let name = self.ident()?;
        self.expect("(")?;
        let parameters = self.members(")")?;
        let (mut result_attributes, mut result) = (Vec::new(), None);
        if self.eat("->") {
            result_attributes = self.attributes()?;
            result = Some(self.type_expression()?);
        }
        let body = self.block()?;
        Ok(Function { name, parameters, result_attributes, result, body })
    }

    /// `var`, `const`, `override` or `let` without its semicolon.
    fn variable(&mut self) -> Parsed<Variable<'s>> {
        let kind = match self.advance().0 {
            Token::Word("var") => VariableKind::Var,
            Token::Word("const") => VariableKind::Const,
            Token::Word("override") => VariableKind::Override,
            _ => VariableKind::Let,
        };
        let template = if kind == VariableKind::Var { self.template()? } else { Vec::new() };
        let name = self.ident()?;
        let ty = if self.eat(":") { Some(self.type_expression()?) } else { None };
        let value = if self.eat("=") { Some(self.expression()?) } else { None };
        Ok(Variable { kind, name, template, ty, value })
    }

    fn type_expression(&mut self) -> Parsed<ExprId> {
        let name = self.ident()?;
        let start = name.span.start;
        let template = self.template()?;
        Ok(self.push(ExprKind::Name(name, template), start..self.end()))
    }

    fn block(&mut self) -> Parsed<Block<'s>> {
        let attributes = self.attributes()?;
        let start = self.start();
        self.expect("{")?;
        let statements = self.statements()?;
        self.expect("}")?;
        Ok(Block { attributes, statements, span: start..self.end() })
    }

    fn statements(&mut self) -> Parsed<Vec<Statement<'s>>> {
        let mut statements = Vec::new();
        while !self.is("}") && !self.is_word("continuing") {
            if self.is_word("break") && self.peek_second() == Token::Word("if") {
                break;
            }
            if self.peek() == Token::End {
                return self.fail("`}`");
            }
            if !self.eat(";") {
                statements.push(self.statement()?);
            }
        }
        Ok(statements)
    }

    fn statement(&mut self) -> Parsed<Statement<'s>> {
        let start = self.start();
        let attributes = self.attributes()?;
        let kind = match self.peek() {
            Token::Symbol("{") => StatementKind::Block(self.block()?),
            Token::Word("if") => self.if_statement()?,
            Token::Word("switch") => self.switch_statement()?,
            Token::Word("loop") => self.loop_statement()?,
            Token::Word("for") => self.for_statement()?,
            Token::Word("while") => {
                self.advance();
                StatementKind::While { condition: self.expression()?, body: self.block()? }
            }
            Token::Word("break") => self.single(StatementKind::Break)?,
            Token::Word("continue") => self.single(StatementKind::Continue)?,
            Token::Word("discard") => self.single(StatementKind::Discard)?,
            Token::Word("return") => {
                self.advance();
                let value = if self.is(";") { None } else { Some(self.expression()?) };
                self.expect(";")?;
                StatementKind::Return(value)
            }
            Token::Word("const_assert") => {
                self.advance();
                let condition = self.expression()?;
                self.expect(";")?;
                StatementKind::ConstAssert(condition)
            }
            _ => {
                let kind = self.simple_statement()?;
                self.expect(";")?;
                kind
            }
        };
        Ok(Statement { attributes, kind, span: start..self.end() })
    }

    fn single(&mut self, kind: StatementKind<'s>) -> Parsed<StatementKind<'s>> {
        self.advance();
        self.expect(";")?;
        Ok(kind)
    }

    /// A declaration, an assignment, an increment or a call, without its semicolon.
    fn simple_statement(&mut self) -> Parsed<StatementKind<'s>> {
        if let Token::Word("var" | "let" | "const") = self.peek() {
            return Ok(StatementKind::Variable(self.variable()?));
        }
        if self.is_word("_") {
            self.advance();
            self.expect("=")?;
            let value = self.expression()?;
            return Ok(StatementKind::Assign { target: None, operator: None, value });
        }
        let target = self.unary()?;
        if self.eat("++") || self.eat("--") {
            return Ok(StatementKind::Step { target });
        }
        let operator = match self.peek() {
            Token::Symbol("=") => None,
            Token::Symbol("+=") => Some(BinaryOp::Add),
            Token::Symbol("-=") => Some(BinaryOp::Subtract),
            Token::Symbol("*=") => Some(BinaryOp::Multiply),
            Token::Symbol("/=") => Some(BinaryOp::Divide),
            Token::Symbol("%=") => Some(BinaryOp::Modulo),
            Token::Symbol("&=") => Some(BinaryOp::And),
            Token::Symbol("|=") => Some(BinaryOp::Or),
            Token::Symbol("^=") => Some(BinaryOp::Xor),
            Token::Symbol("<<=") => Some(BinaryOp::ShiftLeft),
            Token::Symbol(">>=") => Some(BinaryOp::ShiftRight),
            _ if matches!(self.module.expr(target).kind, ExprKind::Call { .. }) => {
                return Ok(StatementKind::Call(target));
            }
            _ => return self.fail("an assignment or a call"),
        };
        self.advance();
        let value = self.expression()?;
        Ok(StatementKind::Assign { target: Some(target), operator, value })
    }

    fn if_statement(&mut self) -> Parsed<StatementKind<'s>> {
        self.advance();
        let condition = self.expression()?;
        let then = self.block()?;
        let mut otherwise = None;
        if self.eat_word("else") {
            let start = self.start();
            let kind = if self.is_word("if") {
                self.if_statement()?
            } else {
                StatementKind::Block(self.block()?)
            };
            let span = start..self.end();
            otherwise = Some(Box::new(Statement { attributes: Vec::new(), kind, span }));
        }
        Ok(StatementKind::If { condition, then, otherwise })
    }

    fn switch_statement(&mut self) -> Parsed<StatementKind<'s>> {
        self.advance();
        let selector = self.expression()?;
        let body_attributes = self.attributes()?;
        self.expect("{")?;
        let mut cases = Vec::new();
        while !self.is("}") {
            let mut selectors = Vec::new();
            if self.eat_word("default") {
                selectors.push(None);
            } else if self.eat_word("case") {
                while !self.is(":") && !self.is("{") && !self.is("@") {
                    selectors.push(if self.eat_word("default") {
                        None
                    } else {
                        Some(self.expression()?)
                    });
                    if !self.eat(",") {
                        break;
                    }
                }
            } else {
                return self.fail("`case` or `default`");
            }
            self.eat(":");
            let body = self.block()?;
            cases.push(Case { selectors, body });
        }
        self.expect("}")?;
        Ok(StatementKind::Switch { selector, body_attributes, cases })
    }

    fn loop_statement(&mut self) -> Parsed<StatementKind<'s>> {
        self.advance();
        let attributes = self.attributes()?;
        let start = self.start();
        self.expect("{")?;
        let statements = self.statements()?;
        let mut continuing = None;
        if self.eat_word("continuing") {
            let attributes = self.attributes()?;
            let start = self.start();
            let first = self.next_id();
            self.expect("{")?;
            let statements = self.statements()?;
            let mut break_if = None;
            if self.eat_word("break") {
                self.advance();
                break_if = Some(self.expression()?);
                self.expect(";")?;
            }
            self.expect("}")?;
            let block = Block { attributes, statements, span: start..self.end() };
            let expressions = first..self.next_id();
            continuing = Some(Continuing { block, break_if, expressions });
        }
        self.expect("}")?;
        let body = Block { attributes, statements, span: start..self.end() };
        Ok(StatementKind::Loop { body, continuing })
    }

    fn for_statement(&mut self) -> Parsed<StatementKind<'s>> {
        self.advance();
        self.expect("(")?;
        let part = |parser: &mut Self, close: &str| {
            if parser.is(close) {
                return Ok(None);
            }
            let start = parser.start();
            let kind = parser.simple_statement()?;
            let span = start..parser.end();
            Ok(Some(Box::new(Statement { attributes: Vec::new(), kind, span })))
        };
        let initializer = part(self, ";")?;
        self.expect(";")?;
        let condition = if self.is(";") { None } else { Some(self.expression()?) };
        self.expect(";")?;
        let update = part(self, ")")?;
        self.expect(")")?;
        let body = self.block()?;
        Ok(StatementKind::For { initializer, condition, update, body })
    }

    fn expression(&mut self) -> Parsed<ExprId> {
        self.binary(0)
    }

    fn operator(&self) -> Option<BinaryOp> {
        let Token::Symbol(symbol) = self.peek() else { return None };
        Some(match symbol {
            "+" => BinaryOp::Add,
            "-" | "--" => BinaryOp::Subtract,
            "*" => BinaryOp::Multiply,
            "/" => BinaryOp::Divide,
            "%" => BinaryOp::Modulo,
            "&" => BinaryOp::And,
            "|" => BinaryOp::Or,
            "^" => BinaryOp::Xor,
            "<<" => BinaryOp::ShiftLeft,
            ">>" => BinaryOp::ShiftRight,
            "==" => BinaryOp::Equal,
            "!=" => BinaryOp::NotEqual,
            "<" => BinaryOp::Less,
            "<=" => BinaryOp::LessEqual,
            ">" => BinaryOp::Greater,
            ">=" => BinaryOp::GreaterEqual,
            "&&" => BinaryOp::LogicalAnd,
            "||" => BinaryOp::LogicalOr,
            _ => return None,
        })
    }

    fn binary(&mut self, least: u8) -> Parsed<ExprId> {
        let mut left = self.unary()?;
        while let Some(operator) = self.operator().filter(|found| found.strength() > least) {
            let at = self.span();
            self.advance_sign();
            let right = self.binary(operator.strength())?;
            for (operand, is_left) in [(left, true), (right, false)] {
                if let ExprKind::Binary(inner, ..) = self.module.expr(operand).kind
                    && !operator.takes(inner, is_left)
                {
                    self.module.mixed_operators.push((at.clone(), inner, operator));
                }
            }
            let span = self.module.expr(left).span.start..self.end();
            left = self.push(ExprKind::Binary(operator, left, right), span);
        }
        Ok(left)
    }

    fn unary(&mut self) -> Parsed<ExprId> {
        let start = self.start();
        let operator = match self.peek() {
            Token::Symbol("-" | "--") => UnaryOp::Negate,
            Token::Symbol("!") => UnaryOp::Not,
            Token::Symbol("~") => UnaryOp::Complement,
            Token::Symbol("*") => UnaryOp::Dereference,
            Token::Symbol("&") => UnaryOp::AddressOf,
            _ => return self.postfix(),
        };
        self.advance_sign();
        let operand = self.unary()?;
        Ok(self.push(ExprKind::Unary(operator, operand), start..self.end()))
    }

    fn postfix(&mut self) -> Parsed<ExprId> {
        let start = self.start();
        let mut base = self.primary()?;
        loop {
            if self.eat("[") {
                let index = self.expression()?;
                self.expect("]")?;
                base = self.push(ExprKind::Index(base, index), start..self.end());
            } else if self.eat(".") {
                let member = self.ident()?;
                base = self.push(ExprKind::Member(base, member), start..self.end());
            } else {
                return Ok(base);
            }
        }
    }

    fn primary(&mut self) -> Parsed<ExprId> {
        let start = self.start();
        match self.peek() {
            Token::Number(literal) => {
                self.advance();
                Ok(self.push(ExprKind::Literal(literal), start..self.end()))
            }
            Token::Symbol("(") => {
                self.advance();
                let inner = self.expression()?;
                self.expect(")")?;
                Ok(self.push(ExprKind::Paren(inner), start..self.end()))
            }
            Token::Word(word @ ("true" | "false")) => {
                self.advance();
                let literal = ExprKind::Literal(Literal::Bool(word == "true"));
                Ok(self.push(literal, start..self.end()))
            }
            Token::Word(_) => {
                let name = self.ident()?;
                let template = self.template()?;
                if self.is("(") {
                    let arguments = self.arguments()?;
                    let call = ExprKind::Call { callee: name, template, arguments };
                    Ok(self.push(call, start..self.end()))
                } else {
                    Ok(self.push(ExprKind::Name(name, template), start..self.end()))
                }
            }
            _ => self.fail("an expression"),
        }
    }
}
