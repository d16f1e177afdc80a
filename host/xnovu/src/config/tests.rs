use super::*;

fn layers(settings: &[(&str, &str)]) -> Layers {
    let mut layers = Layers::default();
    for (name, value) in settings {
        layers.set(name, value, Origin::Environment);
    }
    layers
}

const MINIMUM: [(&str, &str); 3] = [
    ("NEXT_PUBLIC_SUPABASE_URL", "https://acme.supabase.co/"),
    ("SUPABASE_SERVICE_ROLE_KEY", "sb_secret_x"),
    ("NOVU_SECRET_KEY", "novu"),
];

fn with(extra: &[(&str, &str)]) -> Result<Config, Mistakes> {
    Config::read(&layers(&[&MINIMUM, extra].concat()))
}

#[test]
fn the_minimum_is_enough() {
    let config = with(&[]).unwrap();
    assert_eq!(config.supabase.url, "https://acme.supabase.co");
    assert_eq!(config.novu.url, NOVU_URL);
    assert!(config.redis.is_none());
    assert_eq!(config.health.to_string(), "127.0.0.1:3001");
    assert_eq!((config.concurrency, config.jobs.attempts), (5, 3));
}

#[test]
fn all_mistakes_are_reported_at_once_with_name_and_hint() {
    let mistakes = Config::read(&layers(&[
        ("NEXT_PUBLIC_SUPABASE_URL", "acme"),
        ("WORKER_CONCURRENCY", "many"),
        ("REALTIME_QUEUE_PRIORITY", "1001"),
        ("REDIS_URL", "http://user:hunter2@host"),
        ("DAEMON_ENTERPRISE_IDS", "ok,not ok"),
    ]))
    .unwrap_err();
    let names: Vec<&str> = mistakes.0.iter().map(|mistake| mistake.name.as_str()).collect();
    let want = [
        "NEXT_PUBLIC_SUPABASE_URL",
        "SUPABASE_SERVICE_ROLE_KEY",
        "NOVU_SECRET_KEY",
        "REDIS_URL",
        "DAEMON_ENTERPRISE_IDS",
        "REALTIME_QUEUE_PRIORITY",
        "WORKER_CONCURRENCY",
    ];
    assert_eq!(names, want);
    let text = mistakes.to_string();
    assert!(text.contains("hint: ") && !text.contains("hunter2"), "{text}");
}

#[test]
fn the_prefix_is_the_projects_and_never_bull() {
    let prefix = |url: &str| default_prefix(Some(url));
    assert_eq!(prefix("https://acme.supabase.co"), "xnovu-acme");
    assert_eq!(prefix("http://127.0.0.1:54321"), "xnovu-127-0-0-1-54321");
    let mistakes = with(&[("REDIS_URL", "redis://localhost"), ("QUEUE_PREFIX", "bull")]).unwrap_err();
    assert_eq!(mistakes.0[0].name, "QUEUE_PREFIX");
}

#[test]
fn a_secret_can_stand_in_a_file_and_is_never_shown() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "from-file\n").unwrap();
    let path = file.path().to_str().unwrap();
    let config = Config::read(&layers(&[MINIMUM[0], MINIMUM[1], ("NOVU_SECRET_KEY_FILE", path)])).unwrap();
    assert_eq!(config.novu.key.reveal(), "from-file");
    assert!(!format!("{config:?}").contains("from-file"));
}

#[test]
fn an_enterprise_named_twice_is_served_once() {
    let config = with(&[("DAEMON_ENTERPRISE_IDS", " ent1, ent2,ent1,")]).unwrap();
    assert_eq!(config.enterprises.len(), 2);
}
