use super::read::default_prefix;
use super::*;

fn layers(settings: &[(&str, &str)]) -> Layers {
    let mut layers = Layers::default();
    for (name, value) in settings {
        layers.set(name, value, Layer::Environment);
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
fn attributes_of_traces_are_pairs_and_what_is_none_is_told() {
    let with =
        |text| with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"), ("OTEL_RESOURCE_ATTRIBUTES", text)]);
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let attributes = with("team=night, zone = eu=1,").unwrap().traces.unwrap().attributes;
    assert_eq!(attributes, [pair("team", "night"), pair("zone", "eu=1")]);
    for wrong in ["team", "=night", "a=b,team"] {
        let text = with(wrong).unwrap_err().to_string();
        assert!(text.contains("OTEL_RESOURCE_ATTRIBUTES") && text.contains("hint: "), "{wrong}: {text}");
    }
}

#[test]
fn what_is_risky_is_told_together_with_what_is_missing() {
    let (mistakes, warnings) = check(&layers(&[
        ("NOVU_API_URL", "http://novu.example"),
        ("XNOVU_SWEEP_INTERVAL", "120001"),
        ("REDIS_URL", "redis:6379"),
        ("REDIS_PASSWORD", "x"),
    ]));
    let names = |told: &[Mistake]| told.iter().map(|mistake| mistake.name.clone()).collect::<Vec<_>>();
    let missing = ["NEXT_PUBLIC_SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY", "NOVU_SECRET_KEY", "REDIS_URL"];
    assert_eq!(names(&mistakes.0), missing);
    assert_eq!(names(&warnings), ["XNOVU_SWEEP_INTERVAL", "NOVU_API_URL"]);
}

#[test]
fn a_key_that_stands_where_a_url_belongs_is_not_shown() {
    let mistakes = with(&[("NOVU_API_URL", "hunter2")]).unwrap_err();
    assert_eq!(mistakes.0[0].what, "the value is no http or https URL");
    let mistakes = with(&[("NOVU_API_URL", "ftp://novu.example/?key=hunter2")]).unwrap_err();
    assert_eq!(mistakes.0[0].what, "\"ftp://novu.example/\" is no http or https URL");
}

#[test]
fn a_url_with_a_name_or_a_password_is_refused_and_not_shown() {
    for url in ["https://me:hunter2@novu.example", "https://hunter2@novu.example", "postgresql://me:hunter2@host/db"] {
        let mistakes = with(&[("NOVU_API_URL", url)]).unwrap_err();
        assert_eq!(mistakes.0[0].what, "holds a name or a password", "{url}");
        assert!(!mistakes.to_string().contains("hunter2"), "{mistakes}");
    }
    assert_eq!(with(&[("NOVU_API_URL", "https://novu.example/v1")]).unwrap().novu.url, "https://novu.example/v1");
}

#[test]
fn only_files_of_secrets_that_are_asked_for_at_each_use_are_watched() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "redis://0123456789abcdef").unwrap();
    let path = file.path().to_str().unwrap();
    let read_once = ["REDIS_URL_FILE", "REDIS_PASSWORD_FILE", "OTEL_EXPORTER_OTLP_HEADERS_FILE", "DATABASE_URL_FILE"];
    let watched = ["SUPABASE_SERVICE_ROLE_KEY_FILE", "NOVU_SECRET_KEY_FILE", "XNOVU_ADMIN_TOKEN_FILE"];
    let named = read_once.iter().chain(&watched).map(|name| (*name, path));
    let config = Config::read(&layers(&named.chain([MINIMUM[0]]).collect::<Vec<_>>())).unwrap();
    let files = format!("{:?}", config.secret_files);
    assert!(watched.iter().all(|name| files.contains(name)), "{files}");
    assert!(!read_once.iter().any(|name| files.contains(name)), "{files}");
}

#[test]
fn what_finds_a_process_is_not_guessed_where_a_file_of_settings_is_wrong() {
    assert_eq!(state_dir(&layers(&[])).unwrap(), std::path::Path::new(".xnovu"));
    let mut layers = layers(&[]);
    super::file::read_toml(&mut layers, std::path::Path::new("/nowhere/xnovu.toml"), true);
    assert_eq!(state_dir(&layers).unwrap_err().0[0].name, "/nowhere/xnovu.toml");
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
    assert_eq!(&*config.novu.key.reveal(), "from-file");
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

/// Set, the files are written anew instead of compared.
const UPDATE: &str = "XNOVU_UPDATE_DOCS";

/// Asserts that a file of the repository holds what is made from the table.
fn assert_made(path: &str, want: &str) {
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(format!("{}/../../{path}", env!("CARGO_MANIFEST_DIR")), want).unwrap();
    }
    assert!(file(path) == want, "{path} is not the table; make it anew: {UPDATE}=1 cargo test -p xnovu --lib config::");
}

#[test]
fn the_example_of_an_env_file_is_the_table() {
    assert_made(".env.daemon.example", &env_example());
}

#[test]
fn the_documented_settings_are_the_table() {
    let (begin, end) = ("<!-- settings: made by `xnovu config reference` -->\n", "<!-- end of settings -->");
    let document = file("docs/configuration.md");
    let (before, rest) = document.split_once(begin).expect("the tables have a beginning");
    let (_, after) = rest.split_once(end).expect("the tables have an end");
    assert_made("docs/configuration.md", &format!("{before}{begin}\n{}\n\n{end}{after}", markdown().trim()));
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
        assert_eq!(setting.key.is_empty(), unused || setting.name == "XNOVU_CONFIG", "{}", setting.name);
        assert!(setting.key.is_empty() || keys.insert(setting.key), "{} is there twice", setting.key);
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

#[test]
fn the_defaults_of_the_specification_hold() {
    let config = with(&[]).unwrap();
    assert_eq!((config.health.port(), config.log_level.as_str(), config.concurrency), (3001, "info", 5));
    let priorities = config.of(&"anybody".parse().unwrap()).priorities;
    assert_eq!((priorities.realtime.get(), priorities.scheduled.get(), priorities.cron.get()), (10, 5, 1));
    assert_eq!(config.sources.reconnect_delay, Duration::from_secs(1));
    assert!(config.enterprises.is_empty() && config.warnings.is_empty());
}

#[test]
fn an_enterprise_has_its_own_settings_over_those_of_all_under_either_spelling() {
    let id: EnterpriseId = "3f2a0000-1111-4111-8111-00000000abcd".parse().unwrap();
    let config = with(&[
        ("REALTIME_QUEUE_PRIORITY", "20"),
        ("ENT_3f2a0000_1111_4111_8111_00000000ABCD_REALTIME_PRIORITY", "15"),
        ("ENT_enterprise-1_SUBSCRIPTION_ENABLED", "false"),
        ("ENT_enterprise-1_EVENTS", "INSERT"),
        ("ENT_enterprise_1_RATE_PER_SECOND", "7"),
        ("ENT_enterprise-1_CONCURRENCY", "2"),
        ("ENT_enterprise-1_MAX_RETRIES", "15"),
    ])
    .unwrap();
    let priorities = |id: &EnterpriseId| config.of(id).priorities;
    assert_eq!((priorities(&id).realtime.get(), priorities(&id).scheduled.get()), (15, 5));
    let first = config.of(&"enterprise-1".parse().unwrap());
    assert_eq!((first.enabled, first.events.insert, first.events.update), (false, true, false));
    assert_eq!((first.attempts, first.concurrency, first.rate_per_second), (15, Some(2), Some(7)));
    let other = config.of(&"another".parse().unwrap());
    assert_eq!((other.enabled, other.priorities.realtime.get(), other.attempts), (true, 20, 3));
    assert_eq!((other.concurrency, other.rate_per_second), (None, None));
}

#[test]
fn mistakes_in_the_settings_of_an_enterprise_are_told_with_their_name() {
    let mistakes = with(&[
        ("ENT_a_REALTIME_PRIORITY", "1001"),
        ("ENT_b_SUBSCRIPTION_ENABLED", "maybe"),
        ("ENT_c_EVENTS", "DELETE"),
        ("ENT_d-1_CONCURRENCY", "1"),
        ("ENT_d_1_CONCURRENCY", "2"),
        ("ENT_not an id_CONCURRENCY", "2"),
    ])
    .unwrap_err();
    let mut names: Vec<&str> = mistakes.0.iter().map(|mistake| mistake.name.as_str()).collect();
    names.sort_unstable();
    let want = [
        "ENT_a_REALTIME_PRIORITY",
        "ENT_b_SUBSCRIPTION_ENABLED",
        "ENT_c_EVENTS",
        "ENT_d_1_CONCURRENCY",
        "ENT_not an id_CONCURRENCY",
    ];
    assert_eq!(names, want);
}

/// The names that are warned about.
fn warned(settings: &[(&str, &str)]) -> Vec<String> {
    with(settings).unwrap().warnings.into_iter().map(|warning| warning.name).collect()
}

#[test]
fn a_name_that_is_no_setting_is_named_and_names_of_others_are_not() {
    assert_eq!(warned(&[("XNOVU_SWEEP_INTERVALL", "1")]), ["XNOVU_SWEEP_INTERVALL"]);
    assert_eq!(warned(&[("ENT_a_COLOUR", "red")]), ["ENT_a_COLOUR"]);
    assert_eq!(warned(&[("PATH", "/bin"), ("REDIS_VERSION", "7"), ("DATABASE_NAME", "x")]), [""; 0]);
    assert_eq!(warned(&[("LOG_LEVEL", "warn"), ("DAEMON_LOG_LEVEL", "error")]), ["LOG_LEVEL"]);
    let mut layers = layers(&MINIMUM);
    layers.set("WORKER_CONCURENCY", "9", Layer::DotEnv);
    let warnings = Config::read(&layers).unwrap().warnings;
    assert_eq!(warnings[0].hint, "did you mean WORKER_CONCURRENCY?");
}

/// Variables and their values.
type Written = &'static [(&'static str, &'static str)];

#[test]
fn risky_pairs_are_warned_about_and_sound_ones_are_not() {
    let pairs: [(&str, Written, Written); 10] = [
        ("RULE_ENGINE_RETRY_DELAY", &[("QUEUE_BACKOFF_MAX", "4999")], &[("QUEUE_BACKOFF_MAX", "5000")]),
        ("XNOVU_WORKER_GRACE", &[("XNOVU_WORKER_GRACE", "29999")], &[("XNOVU_WORKER_GRACE", "30000")]),
        (
            "SUBSCRIPTION_HEARTBEAT_INTERVAL",
            &[("SUBSCRIPTION_HEARTBEAT_INTERVAL", "30001")],
            &[("SUBSCRIPTION_HEARTBEAT_INTERVAL", "30000")],
        ),
        ("XNOVU_SWEEP_INTERVAL", &[("XNOVU_SWEEP_INTERVAL", "120001")], &[("XNOVU_SWEEP_INTERVAL", "120000")]),
        ("QUEUE_LOCK", &[("QUEUE_LOCK", "120001")], &[("QUEUE_LOCK", "120000")]),
        (
            "WORKER_CONCURRENCY",
            &[("WORKER_CONCURRENCY", "51"), ("SUPABASE_MAX_CONCURRENCY", "5")],
            &[("WORKER_CONCURRENCY", "50"), ("SUPABASE_MAX_CONCURRENCY", "5")],
        ),
        (
            "REALTIME_QUEUE_PRIORITY",
            &[("REALTIME_QUEUE_PRIORITY", "1"), ("CRON_QUEUE_PRIORITY", "10")],
            &[("REALTIME_QUEUE_PRIORITY", "1")],
        ),
        ("REDIS_URL", &[("REDIS_URL", "redis://:p@redis:6379")], &[("REDIS_URL", "redis://:p@127.0.0.1:6379")]),
        ("NOVU_API_URL", &[("NOVU_API_URL", "http://novu.internal")], &[("NOVU_API_URL", "http://[::1]:3000")]),
        ("DAEMON_HEALTH_HOST", &[("DAEMON_HEALTH_HOST", "0.0.0.0")], &[("DAEMON_HEALTH_HOST", "::1")]),
    ];
    for (name, risky, sound) in pairs {
        assert_eq!(warned(risky), [name]);
        assert_eq!(warned(sound), [""; 0], "{name}");
    }
}

#[test]
fn the_parts_of_redis_come_together_and_do_not_show() {
    let directory = tempfile::tempdir().unwrap();
    let pem = directory.path().join("ca.pem");
    std::fs::write(&pem, "# ours\n-----BEGIN CERTIFICATE-----\n").unwrap();
    let pem = pem.to_str().unwrap();
    let whole = [
        ("REDIS_URL", "rediss://redis:6380/2"),
        ("REDIS_USERNAME", "xnovu"),
        ("REDIS_PASSWORD", "p@ss/w"),
        ("REDIS_TLS_CA", pem),
        ("REDIS_TLS_CERT", pem),
        ("REDIS_TLS_KEY", pem),
    ];
    let config = with(&whole).unwrap();
    let redis = config.redis.as_ref().unwrap();
    assert_eq!(&*redis.url.reveal(), "rediss://xnovu:p%40ss%2Fw@redis:6380/2");
    assert!(redis.tls.ca.is_some() && redis.tls.client.is_some());
    assert!(!format!("{config:?}").contains("ss%2Fw"));
    let wrong = |settings: &[(&str, &str)]| {
        with(settings).unwrap_err().0.into_iter().map(|mistake| mistake.name).collect::<Vec<_>>()
    };
    assert_eq!(wrong(&[("REDIS_URL", "redis://redis"), ("REDIS_TLS_CA", pem)]), ["REDIS_URL"]);
    assert_eq!(wrong(&[("REDIS_URL", "rediss://redis"), ("REDIS_TLS_CERT", pem)]), ["REDIS_TLS_KEY"]);
    assert_eq!(wrong(&[("REDIS_URL", "rediss://redis"), ("REDIS_TLS_CA", "/nowhere")]), ["REDIS_TLS_CA"]);
    assert_eq!(wrong(&[("REDIS_URL", "rediss://redis"), ("REDIS_TLS_CA", file!())]), ["REDIS_TLS_CA"]);
}

#[test]
fn the_documented_xnovu_toml_is_a_configuration() {
    let document = file("docs/configuration.md");
    let (_, rest) = document.split_once("```toml\n").unwrap();
    let (text, _) = rest.split_once("```").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    std::fs::write(path("secret"), "s3cret").unwrap();
    std::fs::write(path("ca.pem"), "-----BEGIN CERTIFICATE-----\n").unwrap();
    let text = ["/run/secrets/supabase", "/run/secrets/novu", "/run/secrets/redis"]
        .iter()
        .fold(text.replace("/etc/xnovu/redis-ca.pem", &path("ca.pem")), |text, secret| {
            text.replace(secret, &path("secret"))
        });
    std::fs::write(path("xnovu.toml"), text).unwrap();
    let mut layers = Layers::default();
    super::file::read_toml(&mut layers, &directory.path().join("xnovu.toml"), true);
    let config = Config::read(&layers).unwrap();
    assert_eq!((config.enterprises.len(), config.concurrency, config.warnings.as_slice()), (2, 10, &[][..]));
    assert_eq!(config.of(&config.enterprises[0]).attempts, 5);
    assert!(!config.of(&config.enterprises[1]).enabled);
}
