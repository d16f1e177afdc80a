//! `like` and `ilike`.

/// A pattern: `%` (or PostgREST's `*`) for any run of characters, `_` for one, a backslash before what stands for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    tokens: Vec<Token>,
    fold: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Run,
    One,
    Exactly(char),
}

impl Pattern {
    /// `fold` makes letters match whatever their case.
    pub(super) fn parse(text: &str, fold: bool) -> Self {
        let mut tokens = Vec::new();
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            tokens.push(match char {
                '%' | '*' => Token::Run,
                '_' => Token::One,
                '\\' => Token::Exactly(chars.next().unwrap_or('\\')),
                other => Token::Exactly(other),
            });
        }
        Self { tokens, fold }
    }

    /// Runs in time proportional to text × pattern at worst: on a mismatch only the latest run is widened.
    pub(super) fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut at, mut token) = (0, 0);
        let mut widen: Option<(usize, usize)> = None;
        while at < text.len() {
            match self.tokens.get(token) {
                Some(Token::Run) => {
                    widen = Some((at, token + 1));
                    token += 1;
                }
                Some(Token::One) => (at, token) = (at + 1, token + 1),
                Some(Token::Exactly(char)) if self.same(*char, text[at]) => (at, token) = (at + 1, token + 1),
                _ => match widen {
                    Some((from, after)) => {
                        widen = Some((from + 1, after));
                        (at, token) = (from + 1, after);
                    }
                    None => return false,
                },
            }
        }
        self.tokens[token..].iter().all(|token| *token == Token::Run)
    }

    fn same(&self, left: char, right: char) -> bool {
        left == right || (self.fold && left.to_lowercase().eq(right.to_lowercase()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, fold: bool, text: &str, expected: bool) {
        assert_eq!(Pattern::parse(pattern, fold).matches(text), expected, "{pattern} {text}");
    }

    #[test]
    fn runs_single_characters_and_escapes_match_as_in_sql() {
        check("rule-*", false, "rule-1 @ now", true);
        check("%a%b", false, "xxaxxaxb", true);
        check("%a%b", false, "xxaxxaxbc", false);
        check("a_c", false, "abc", true);
        check("a_c", false, "ac", false);
        check("100\\%", false, "100%", true);
        check("100\\%", false, "1000", false);
        check("É%", true, "école", true);
        check("É%", false, "école", false);
        check("", false, "", true);
        check("%", false, "", true);
    }
}
