//! What the key of Supabase says of itself: whose role it has, of which project, until when.
//!
//! Owns the forms a key has. Never shows a part of one, and never checks a signature: that is the server's.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;
use xnovu_domain::Micros;

use super::Finding;

const CHECK: &str = "supabase key";

/// Where the right key is.
const HINT: &str =
    "set SUPABASE_SERVICE_ROLE_KEY to the service-role or secret key of this project: Project Settings > API keys";

/// What we read of a token.
#[derive(Deserialize)]
struct Claims {
    role: Option<String>,
    /// The project.
    #[serde(rename = "ref")]
    project: Option<String>,
    /// In seconds since 1970.
    exp: Option<i64>,
}

/// What the form of the key tells, before anybody is asked.
pub(super) fn examine(key: &str, url: &str, now: Micros) -> Finding {
    if key.starts_with("sb_secret_") {
        return Finding::ok(CHECK, "a secret key, which has the role service_role");
    }
    if key.starts_with("sb_publishable_") {
        return Finding::failed(CHECK, "a publishable key, which has the role anon", HINT);
    }
    let Some(claims) = claims(key) else {
        return Finding::not_checked(CHECK, "it has neither of Supabase's forms, so its role is not known");
    };
    let role = claims.role.as_deref().unwrap_or("none");
    if role != "service_role" {
        return Finding::failed(CHECK, format!("a token of the role {role:?}"), HINT);
    }
    let expired = claims.exp.is_some_and(|seconds| seconds.saturating_mul(1_000_000) < now.get());
    if expired {
        return Finding::failed(CHECK, "a token that has expired", HINT);
    }
    match (claims.project, project(url)) {
        (Some(of), Some(asked)) if of != asked => Finding::failed(
            CHECK,
            format!("it is of the project {of:?}, and NEXT_PUBLIC_SUPABASE_URL of {asked:?}"),
            HINT,
        ),
        _ => Finding::ok(CHECK, "a token of the role service_role"),
    }
}

fn claims(key: &str) -> Option<Claims> {
    let mut parts = key.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&payload).ok()
}

/// The project a URL of the hosted service leads to.
fn project(url: &str) -> Option<String> {
    let url = reqwest::Url::parse(url).ok()?;
    let (project, domain) = url.host_str()?.split_once('.')?;
    matches!(domain, "supabase.co" | "supabase.in").then(|| project.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    fn token(claims: &serde_json::Value) -> String {
        format!("head.{}.signature", BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    #[test]
    fn a_key_of_the_wrong_role_project_or_time_is_known_by_its_form() {
        let url = "https://acme.supabase.co";
        let now = Micros::new(1_000_000_000_000_000);
        let verdict = |key: &str, url: &str| examine(key, url, now).verdict;
        let with = |claims: serde_json::Value| verdict(&token(&claims), url);
        assert_eq!(verdict("sb_secret_x", url), Verdict::Ok);
        assert_eq!(verdict("sb_publishable_x", url), Verdict::Failed);
        assert_eq!(verdict("something", url), Verdict::NotChecked);
        assert_eq!(with(serde_json::json!({"role": "service_role", "ref": "acme", "exp": 1_000_000_001})), Verdict::Ok);
        assert_eq!(
            with(serde_json::json!({"role": "service_role", "ref": "acme", "exp": 999_999_999})),
            Verdict::Failed
        );
        assert_eq!(with(serde_json::json!({"role": "anon", "ref": "acme"})), Verdict::Failed);
        let other = token(&serde_json::json!({"role": "service_role", "ref": "other"}));
        assert_eq!(verdict(&other, url), Verdict::Failed);
        assert_eq!(verdict(&other, "https://db.example.com"), Verdict::Ok, "a host of one's own tells no project");
        assert!(!format!("{:?}", examine(&other, url, now)).contains(&other[5..20]));
    }
}
