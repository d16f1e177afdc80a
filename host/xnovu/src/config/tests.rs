use super::read::default_prefix;
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
    assert_eq!(config.novu.url, "https://api.novu.co");
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

/// What a file of the repository holds.
fn file(path: &str) -> String {
    let path = format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_example_of_an_env_file_is_the_table() {
    let want = env_example();
    assert!(file(".env.daemon.example") == want, "make it anew: xnovu config example > .env.daemon.example");
}

#[test]
fn the_documented_settings_are_the_table() {
    let document = file("docs/configuration.md");
    let hint = "put what `xnovu config reference` prints between the two marks of docs/configuration.md";
    let (_, rest) = document.split_once("<!-- settings: made by `xnovu config reference` -->\n").expect(hint);
    let (tables, _) = rest.split_once("<!-- end of settings -->").expect(hint);
    assert!(tables.trim() == markdown().trim(), "{hint}");
}

#[test]
fn the_example_of_an_env_file_is_itself_a_configuration() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(".env"), env_example()).unwrap();
    let entries: Vec<_> = dotenvy::from_path_iter(directory.path().join(".env")).unwrap().map(Result::unwrap).collect();
    let written: Vec<(&str, &str)> = entries.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(written.len(), 3, "only what is required is not a comment: {written:?}");
    Config::read(&layers(&written)).unwrap();
}

#[test]
fn every_setting_has_one_name_one_place_and_a_default_of_its_kind() {
    let (mut names, mut keys) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    for setting in settings::all() {
        for name in std::iter::once(&setting.name).chain(setting.aliases) {
            assert!(names.insert(*name), "{name} is there twice");
        }
        let unused = matches!(setting.kind, Kind::Unused(_));
        assert_eq!(setting.key.is_empty(), unused, "{}", setting.name);
        assert!(unused || keys.insert(setting.key), "{} is there twice", setting.key);
        assert!(!setting.about.is_empty() && !setting.about.ends_with('.'), "{}", setting.name);
        match (setting.kind, setting.default) {
            (Kind::Number(min, max) | Kind::Millis(min, max), Fallback::Number(default)) => {
                assert!((min..=max).contains(&default), "{}", setting.name);
            }
            (Kind::Number(..) | Kind::Millis(..), other) => panic!("{}: {other:?}", setting.name),
            (Kind::Choice(words), Fallback::Text(word)) => assert!(words.contains(&word), "{}", setting.name),
            _ => {}
        }
    }
}

#[test]
fn each_number_is_taken_at_its_bounds_and_not_beyond() {
    for setting in settings::all() {
        let (Kind::Number(min, max) | Kind::Millis(min, max)) = setting.kind else { continue };
        for number in [min, max] {
            with(&[(setting.name, &number.to_string())]).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        }
        for number in [min.checked_sub(1).map_or("-1".to_owned(), |n| n.to_string()), (max + 1).to_string()] {
            let mistakes = with(&[(setting.name, &number)]).unwrap_err();
            assert_eq!(mistakes.0[0].name, setting.name, "{number}");
        }
    }
}

#[test]
fn every_variable_of_the_original_is_accepted_and_those_without_a_meaning_say_so() {
    let all = [
        ("SUBSCRIPTION_MAX_RETRIES", "10"),
        ("SUBSCRIPTION_HEALTH_CHECK_INTERVAL", "30000"),
        ("RULE_ENGINE_SCHEDULED_INTERVAL", "60000"),
        ("RULE_ENGINE_SCHEDULED_BATCH_SIZE", "100"),
        ("SCHEDULED_NOTIFICATION_BATCH_SIZE", "100"),
        ("NEXT_PUBLIC_SUPABASE_ANON_KEY", "anon"),
        ("PROMETHEUS_ENABLED", "true"),
        ("RATE_LIMIT_MAX", "100"),
        ("CORS_ORIGINS", "*"),
        ("DATABASE_POOL_SIZE", "10"),
    ];
    let silent =
        [("NODE_ENV", "production"), ("CI", "true"), ("RULE_ENGINE_MAX_CONCURRENT_JOBS", "25"), ("LOG_LEVEL", "WARN")];
    let config = with(&[&all[..], &silent].concat()).unwrap();
    let mut told: Vec<&str> = config.warnings.iter().map(|warning| warning.name.as_str()).collect();
    let mut want: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    told.sort_unstable();
    want.sort_unstable();
    assert_eq!(told, want);
    assert_eq!((config.concurrency, config.log_level.as_str()), (25, "warn"));
}
