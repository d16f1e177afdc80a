//! What differs between two JSON values, place by place.

use serde_json::Value;

/// One line for each place where `found` is not as `wanted`: the path, and what stands there.
pub(super) fn differences(at: &str, wanted: &Value, found: &Value) -> Vec<String> {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            let missing = found.keys().filter(|key| !wanted.contains_key(*key));
            let keys = wanted.keys().chain(missing);
            keys.flat_map(|key| places(&format!("{at}.{key}"), wanted.get(key), found.get(key))).collect()
        }
        (Value::Array(wanted), Value::Array(found)) => (0..wanted.len().max(found.len()))
            .flat_map(|index| places(&format!("{at}[{index}]"), wanted.get(index), found.get(index)))
            .collect(),
        _ if same(wanted, found) => Vec::new(),
        _ => vec![format!("{at}: wanted {wanted}, got {found}")],
    }
}

fn places(at: &str, wanted: Option<&Value>, found: Option<&Value>) -> Vec<String> {
    match (wanted, found) {
        (Some(wanted), Some(found)) => differences(at, wanted, found),
        (Some(wanted), None) => vec![format!("{at}: wanted {wanted}, got nothing")],
        (None, Some(found)) => vec![format!("{at}: wanted nothing, got {found}")],
        (None, None) => Vec::new(),
    }
}

/// 1 and 1.0 are the same number to whoever reads the message.
fn same(wanted: &Value, found: &Value) -> bool {
    wanted == found || matches!((wanted, found), (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_place_that_differs_is_named_and_no_other() {
        let wanted = json!({"same": 1, "title": "a", "list": [1, 2], "gone": null, "deep": {"x": [true]}});
        let found = json!({"same": 1.0, "title": "b", "list": [1], "more": {}, "deep": {"x": [false]}});
        let want = [
            "m.deep.x[0]: wanted true, got false",
            "m.gone: wanted null, got nothing",
            "m.list[1]: wanted 2, got nothing",
            "m.title: wanted \"a\", got \"b\"",
            "m.more: wanted nothing, got {}",
        ];
        let mut lines = differences("m", &wanted, &found);
        lines.sort_unstable();
        let mut want = want.to_vec();
        want.sort_unstable();
        assert_eq!(lines, want);
    }

    #[test]
    fn what_is_of_another_kind_is_one_difference() {
        assert_eq!(differences("m", &json!([1]), &json!({"0": 1})), ["m: wanted [1], got {\"0\":1}"]);
    }
}
