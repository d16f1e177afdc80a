use xnovu_sdk::testing;

use super::*;

fn refusal(config: Value) -> String {
    match testing::config::<Settings>(&config) {
        Ok(settings) => PriorityDesk.validate_config(&settings).unwrap_err().to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_config_that_would_fit_everything_or_nothing_is_refused() {
    assert_eq!(refusal(json!({"drop": [{}]})), "config.drop[0]: names neither a category nor a tag");
    let raise = json!([{"when": {"tag": "vip"}, "to": 1}, {"when": {"tag": "vip"}, "to": 1001}]);
    assert_eq!(refusal(json!({"raise": raise})), "config.raise[1].to: 1001 is above 1000");
    assert!(refusal(json!({"drop": [{"categories": ["x"]}]})).starts_with("config.drop[0].categories: unknown field"));
}

#[test]
fn a_matcher_fits_what_has_everything_it_names() {
    let matcher = |json: Value| testing::config::<Matcher>(&json).unwrap();
    let event = Event::builder().category("billing").tags(["vip", "eu"]).build();
    let table = [
        (json!({"category": "billing"}), true),
        (json!({"category": "billing", "tag": "vip"}), true),
        (json!({"category": "billing", "tag": "us"}), false),
        (json!({"category": "marketing", "tag": "vip"}), false),
        (json!({"tag": "eu"}), true),
    ];
    for (json, want) in table {
        assert_eq!(matcher(json.clone()).fits(&event), want, "{json}");
    }
}

#[test]
fn the_payload_is_never_parsed() {
    let config = testing::config(&json!({"raise": [{"when": {"tag": "vip"}, "to": 800}]})).unwrap();
    let event = Event::builder().tags(["vip"]).put("severity", [0]).build();
    assert_eq!(PriorityDesk.admit(&event, &config), Ok(Verdict::deliver_at(800)));
}
