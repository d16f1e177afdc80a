//! What may be told of an answer other than success.
//!
//! Owns which words of PostgreSQL and PostgREST are kept. Their messages may quote a row: a value that does not fit its column, or what a
//! trigger raises. Kept are the code, PostgREST's own messages, and those of PostgreSQL that are made of known words and names of tables,
//! columns and the like. Of any other the code's class is told in words of ours. `details` and `hint` are never kept.

use serde::Deserialize;

use super::StoreError;
use super::http::one_line;

/// Longest message kept, in bytes.
const MESSAGE_BYTES_MAX: usize = 200;

/// Longest name of a table, a column or the like, quotes and schema included.
const NAME_BYTES_MAX: usize = 140;

/// PostgREST's complaint about a body, which old versions quote.
const BAD_BODY: &str = "PGRST102";

/// Messages of PostgreSQL that are kept. A star stands for one name.
const KNOWN: &[&str] = &[
    "permission denied for table *",
    "permission denied for view *",
    "permission denied for schema *",
    "permission denied for sequence *",
    "permission denied for function *",
    "permission denied to set role *",
    "relation * does not exist",
    "schema * does not exist",
    "role * does not exist",
    "type * does not exist",
    "column * does not exist",
    "column * of relation * does not exist",
    "column * is of type * but expression is of type *",
    "null value in column * of relation * violates not-null constraint",
    "new row for relation * violates check constraint *",
    "new row violates row-level security policy for table *",
    "duplicate key value violates unique constraint *",
    "insert or update on table * violates foreign key constraint *",
    "there is no unique or exclusion constraint matching the ON CONFLICT specification",
    "canceling statement due to statement timeout",
    "canceling statement due to lock timeout",
    "canceling statement due to user request",
    "could not serialize access due to concurrent update",
    "deadlock detected",
    "cannot execute * in a read-only transaction",
    "sorry, too many clients already",
    "too many connections for role *",
    "out of memory",
    "the database system is starting up",
    "the database system is shutting down",
    "the database system is in recovery mode",
    "terminating connection due to administrator command",
];

/// An answer other than success. Its body may be PostgREST's JSON, a gateway's JSON or page, or nothing.
pub(super) fn refusal(what: &'static str, status: u16, body: &[u8]) -> StoreError {
    #[derive(Deserialize)]
    struct Body {
        code: Option<String>,
        message: Option<String>,
    }
    let (code, message) = match serde_json::from_slice::<Body>(body) {
        Ok(Body { code, message }) => (code.map(|code| one_line(&code, 16)), message.unwrap_or_default()),
        Err(_) => (None, String::from_utf8_lossy(&body[..body.len().min(4 * MESSAGE_BYTES_MAX)]).into_owned()),
    };
    let message = match &code {
        // A gateway's: it has seen no row.
        None => one_line(&message, MESSAGE_BYTES_MAX),
        Some(code) => told(code, &message),
    };
    StoreError::Refused { what, status, code, message }
}

fn told(code: &str, message: &str) -> String {
    let of_the_api = code.starts_with("PGRST") && code != BAD_BODY;
    if of_the_api || KNOWN.iter().any(|known| is_like(message, known)) {
        return one_line(message, MESSAGE_BYTES_MAX);
    }
    class(code).to_owned()
}

/// Whether the message is the known one with a name in place of each star.
fn is_like(message: &str, known: &str) -> bool {
    let (mut words, mut wanted) = (message.split(' '), known.split(' '));
    loop {
        match (words.next(), wanted.next()) {
            (None, None) => return true,
            (Some(word), Some("*")) if is_name(word) => {}
            (Some(word), Some(known)) if word == known => {}
            _ => return false,
        }
    }
}

fn is_name(word: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '"' | '$' | '-');
    !word.is_empty() && word.len() <= NAME_BYTES_MAX && word.chars().all(fits)
}

/// What PostgreSQL's classes of codes mean.
fn class(code: &str) -> &'static str {
    match code.get(..2).unwrap_or_default() {
        "08" | "57" | "58" => "the database is not able to answer; its log says why",
        "22" => "a value does not fit its column or filter; the database's log names it",
        "23" => "a constraint of the table is violated; the database's log names it",
        "25" | "40" => "the transaction could not be carried through; the database's log says why",
        "28" | "42" => "the role may not do this, or the schema is another; the database's log says more",
        "53" | "54" => "the database has reached a limit; its log names it",
        "P0" => "a trigger or function of the database refuses it; the database's log has its words",
        _ => "the database's log says why",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: &str, message: &str) -> String {
        let body = serde_json::json!({"code": code, "message": message, "details": "SECRET", "hint": "SECRET"});
        refusal("claim", 400, body.to_string().as_bytes()).to_string()
    }

    #[test]
    fn what_names_tables_and_columns_is_kept() {
        let kept = [
            ("PGRST205", "Could not find the table 'notify.ent_notification' in the schema cache"),
            ("42501", "permission denied for schema notify"),
            ("42703", "column ent_notification.processed_at does not exist"),
            ("42P01", "relation \"notify.ent_notification\" does not exist"),
            ("23502", "null value in column \"name\" of relation \"ent_notification\" violates not-null constraint"),
            ("23514", "new row for relation \"ent_notification\" violates check constraint \"name_is_short\""),
            ("57014", "canceling statement due to statement timeout"),
        ];
        for (code, message) in kept {
            assert_eq!(said(code, message), format!("claim: HTTP 400 ({code}): {message}"));
        }
    }

    #[test]
    fn what_may_quote_a_row_is_told_by_its_code_alone() {
        let withheld = [
            ("22P02", "invalid input syntax for type integer: \"SECRET\""),
            ("22007", "invalid input syntax for type timestamp with time zone: \"SECRET\""),
            ("22003", "value \"SECRET\" is out of range for type integer"),
            ("22P02", "invalid input value for enum notify.shared_status_enum: \"SECRET\""),
            ("P0001", "no address for SECRET"),
            ("23514", "payload SECRET is not wanted"),
            ("23514", "new row for relation \"SECRET SECRET\" violates check constraint \"c\""),
            ("42601", "syntax error at or near \"SECRET\""),
            ("PGRST102", "Error in $: not a valid json value at 'SECRET'"),
            ("XX000", "SECRET"),
            ("?", "SECRET"),
        ];
        for (code, message) in withheld {
            let said = said(code, message);
            assert!(said.contains(&format!("({code}): ")) && !said.contains("SECRET"), "{said}");
            assert!(said.contains("log"), "{said}");
        }
    }

    #[test]
    fn a_gateways_words_survive_cut_to_a_line() {
        let html = format!("<html>\n{}", "x".repeat(5_000));
        let StoreError::Refused { status: 502, code: None, message, .. } = refusal("claim", 502, html.as_bytes())
        else {
            panic!("not a refusal");
        };
        assert!(message.starts_with("<html> x") && message.len() == MESSAGE_BYTES_MAX, "{message}");
        assert_eq!(refusal("claim", 503, b"\xff").to_string(), "claim: HTTP 503: \u{fffd}");
        let key = refusal("claim", 401, br#"{"message":"Invalid API key","hint":"Double check"}"#);
        assert_eq!(key.to_string(), "claim: HTTP 401: Invalid API key");
    }
}
