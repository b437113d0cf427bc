//! Arithmetic that a model asks for, done by the program: `(12.5 - 9.1) / 9.1 * 100`.

/// The most letters, and the deepest brackets.
const LONGEST: usize = 500;
const DEEPEST: u32 = 32;

/// The value of an expression of numbers, `+ - * / ^`, brackets and `%` behind a number (a hundredth).
///
/// # Errors
/// A sentence on what is wrong.
pub fn calculate(expression: &str) -> Result<f64, String> {
    if expression.len() > LONGEST {
        return Err(format!("longer than {LONGEST} letters"));
    }
    let mut parser = Parser { rest: expression, depth: 0 };
    let value = parser.sum()?;
    parser.skip();
    if !parser.rest.is_empty() {
        return Err(format!("'{}' is no arithmetic", parser.rest));
    }
    if !value.is_finite() {
        return Err("the result is not finite".to_owned());
    }
    Ok(value)
}

struct Parser<'a> {
    rest: &'a str,
    depth: u32,
}

impl Parser<'_> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, signs: &[char]) -> Option<char> {
        self.skip();
        let sign = self.rest.chars().next().filter(|sign| signs.contains(sign))?;
        self.rest = &self.rest[sign.len_utf8()..];
        Some(sign)
    }

    fn sum(&mut self) -> Result<f64, String> {
        let mut value = self.product()?;
        while let Some(sign) = self.take(&['+', '-', '−']) {
            let other = self.product()?;
            value = if sign == '+' { value + other } else { value - other };
        }
        Ok(value)
    }

    fn product(&mut self) -> Result<f64, String> {
        let mut value = self.power()?;
        while let Some(sign) = self.take(&['*', '×', '/', '÷']) {
            let other = self.power()?;
            value = if matches!(sign, '*' | '×') { value * other } else { value / other };
        }
        Ok(value)
    }

    fn power(&mut self) -> Result<f64, String> {
        if self.take(&['-', '−']).is_some() {
            return self.nested(|parser| Ok(-parser.power()?));
        }
        let value = self.atom()?;
        match self.take(&['^']) {
            Some(_) => self.nested(|parser| Ok(value.powf(parser.power()?))),
            None => Ok(value),
        }
    }

    fn nested(&mut self, inner: impl FnOnce(&mut Self) -> Result<f64, String>) -> Result<f64, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("too many brackets".to_owned());
        }
        let value = inner(self);
        self.depth -= 1;
        value
    }

    fn atom(&mut self) -> Result<f64, String> {
        let value = if self.take(&['(']).is_some() {
            let value = self.nested(Self::sum)?;
            self.take(&[')']).ok_or("a bracket is not closed")?;
            value
        } else {
            self.skip();
            let end = self
                .rest
                .find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ','))
                .unwrap_or(self.rest.len());
            let (digits, rest) = self.rest.split_at(end);
            let value = digits.replace(',', "").parse();
            let value = value.map_err(|_| format!("expected a number at '{}'", self.rest))?;
            self.rest = rest;
            value
        };
        Ok(if self.take(&['%']).is_some() { value / 100.0 } else { value })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn arithmetic_is_done_in_the_usual_order() {
        for (expression, value) in [
            ("1 + 2 * 3", 7.0),
            ("(1,200 - 200) / 4", 250.0),
            ("-(2 ^ 2) + 10%", -3.9),
            ("2^3^2", 512.0),
            ("8/2/2", 2.0),
        ] {
            assert_eq!(calculate(expression), Ok(value), "{expression}");
        }
        for wrong in ["", "1 +", "(1", "1 / 0", "1 2", "rm -rf", &"(".repeat(400)] {
            assert!(calculate(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "[0-9+*/^()., %-]{0,80}") {
            let _ = calculate(&text);
        }
    }
}
