//! `xnovu doctor` before real services that are sound, and before every fault it promises to see.

use serde_json::{Value, json};
use xnovu_standin::{Effect, ErrorBody, Face, Faults, HttpFault, Options, RealtimeFaults, RestFaults};

use crate::support::plugins::bind_priority_desk;
use crate::support::postgres::{self, PostgresServer};
use crate::support::redis::Certificates;
use crate::support::{ENTERPRISES, House, NOVU_KEY, Ran, RedisServer, SUPABASE_KEY, in_seconds, process};

/// Exit code of settings that are missing or wrong.
const EXIT_SETTINGS: i32 = 64;

/// What it found of one check, as verdict and words.
fn found(told: &Value, check: &str) -> (String, String) {
    let one = told["findings"].as_array().unwrap().iter().find(|one| one["check"] == check);
    let one = one.unwrap_or_else(|| panic!("{check} is not told of: {told}"));
    let word = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
    (word("verdict"), format!("{} / {}", word("what"), word("hint")))
}

/// Asserts what a check came to, and that its words hold this.
fn assert_found(told: &Value, check: &str, verdict: &str, words: &str) {
    let (came_to, said) = found(told, check);
    assert!(
        came_to == verdict && said.contains(words),
        "{check}: wanted {verdict} with {words:?}, got {came_to}: {said}"
    );
}

/// The findings, each of which that asks for something says what to do, and the exit code. Nothing planted is in it.
async fn examined(house: &House, arguments: &[&str]) -> (Value, Option<i32>) {
    let ran = house.run(&[&["doctor", "--output", "json"], arguments].concat()).await;
    assert_tells_no_secret(&ran);
    let told = ran.json();
    for one in told["findings"].as_array().unwrap() {
        let asks = ["warning", "failed"].contains(&one["verdict"].as_str().unwrap());
        assert!(!asks || one["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{one}");
    }
    (told, ran.code)
}

fn assert_tells_no_secret(ran: &Ran) {
    let said = format!("{}{}", ran.stdout, ran.stderr);
    for secret in [SUPABASE_KEY, NOVU_KEY, "PLANTED"] {
        assert!(!said.contains(secret), "{secret}: {said}");
    }
}

/// A Redis that logs its writes.
async fn sound_redis(dir: &std::path::Path) -> RedisServer {
    RedisServer::with(&["--appendonly", "yes", "--dir", dir.to_str().unwrap()]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_installation_is_found_sound_and_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(dir.path());
    let database = PostgresServer::with_tls(&certificates).await;
    database.apply("docker/sql/xnovu.sql");
    database.apply("docker/sql/updated-at.sql");
    let redis = sound_redis(dir.path()).await;
    let mut house = House::on(&redis).await;
    bind_priority_desk(&house);
    house.set("DATABASE_URL", database.tls_url());
    house.set("SSL_CERT_FILE", certificates.authority.display());
    house.set("DAEMON_ENTERPRISE_IDS", "");
    let row = house.insert(json!({"payload": {"planted": "PLANTEDPAYLOAD"}}));
    let (told, code) = examined(&house, &[]).await;
    let findings = told["findings"].as_array().unwrap();
    let bad: Vec<&Value> =
        findings.iter().filter(|one| one["verdict"] != "ok" && one["check"] != "workflows").collect();
    assert!(bad.is_empty() && code == Some(0) && told["ok"] == true, "{code:?}: {bad:?}");
    for check in
        ["settings", "state directory", "open files", "plugins", "enterprises", "redis version", "redis rights"]
    {
        assert_found(&told, check, "ok", "");
    }
    assert_found(&told, "supabase reads", "ok", "schema notify is exposed");
    assert_found(&told, "supabase key", "ok", "service_role");
    assert_found(&told, "realtime", "ok", "confirmed");
    assert_found(&told, "enterprises", "ok", "1 would be served");
    assert_found(&told, "novu key", "ok", "accepts it");
    assert_found(&told, "database indexes", "ok", "");
    house.assert_untouched(row);
    assert_eq!(house.state().deliveries(0), []);
    assert_eq!(redis.command::<Vec<String>>(&["KEYS", "*"]).await, [""; 0]);
    assert!(!house.state_file("compiled").exists(), "nothing is left behind for the daemon's user to stumble over");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_without_our_sql_is_told_what_to_apply_and_without_a_url_nothing_is_claimed() {
    let dir = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(dir.path());
    let database = PostgresServer::with_tls(&certificates).await;
    let mut house = House::with(None, Options::default()).await;
    let (told, _) = examined(&house, &[]).await;
    for check in ["grants", "row security", "publication", "replica identity", "indexes", "updated_at"] {
        assert_found(&told, &format!("database {check}"), "not_checked", "DATABASE_URL is not set");
    }
    house.set("DATABASE_URL", database.tls_url());
    let (told, code) = examined(&house, &[]).await;
    assert_eq!(code, Some(0), "a certificate that nobody vouches for is a warning: {told}");
    assert_found(&told, "database", "warning", "SSL_CERT_FILE");
    assert_found(&told, "database grants", "not_checked", "does not answer us");
    house.set("SSL_CERT_FILE", certificates.authority.display());
    database.sql("alter table notify.ent_notification replica identity nothing, enable row level security");
    database.sql("alter role service_role nobypassrls");
    let (told, code) = examined(&house, &[]).await;
    assert_eq!(code, Some(1), "{told}");
    assert_found(&told, "database grants", "failed", "USAGE of notify");
    assert_found(&told, "database grants", "failed", "UPDATE of notify.ent_notification");
    assert_found(&told, "database row security", "warning", "without an error");
    assert_found(&told, "database publication", "failed", "docker/sql/xnovu.sql");
    assert_found(&told, "database replica identity", "failed", "refuses every UPDATE");
    assert_found(&told, "database indexes", "failed", "ent_notification_xnovu_status");
    assert_found(&told, "database updated_at", "warning", "docker/sql/updated-at.sql");
    database.apply("docker/sql/xnovu.sql");
    let (told, code) = examined(&house, &[]).await;
    assert_eq!(code, Some(0), "{told}");
    for check in ["grants", "publication", "replica identity", "indexes"] {
        assert_found(&told, &format!("database {check}"), "ok", "");
    }
    house.set("DATABASE_URL", database.tls_url().replace(postgres::PASSWORD, "PLANTEDWRONG"));
    let (told, _) = examined(&house, &[]).await;
    assert_found(&told, "database", "warning", "password authentication failed");
    assert!(!told.to_string().contains(postgres::PASSWORD));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_evicts_and_forgets_fails_and_another_senders_queue_is_seen() {
    let redis = RedisServer::with(&["--maxmemory-policy", "allkeys-lru", "--maxmemory", "100mb"]).await;
    redis.command::<()>(&["HSET", "bull:notification-processing:meta", "version", "bullmq"]).await;
    let house = House::on(&redis).await;
    let (told, code) = examined(&house, &[]).await;
    assert_eq!(code, Some(1), "{told}");
    assert_found(&told, "redis eviction policy", "failed", "config set maxmemory-policy noeviction");
    assert_found(&told, "redis persistence", "warning", "appendonly yes");
    assert_found(&told, "redis memory", "ok", "of 100 MiB used");
    assert_found(&told, "redis password", "ok", "of this machine");
    assert_found(&told, "another sender, by its queues", "warning", "docs/migrate.md");
    let text = house.run(&["doctor"]).await;
    assert_eq!(text.code, Some(1), "{text:?}");
    let line = "failed       redis eviction policy: allkeys-lru";
    assert!(
        text.stdout.contains(line) && text.stdout.contains("\n             hint: redis-cli config set"),
        "{text:?}"
    );
    assert!(text.stdout.ends_with(&format!("failed: 1, warnings: {}, not checked: 6\n", told["warnings"])), "{text:?}");
    for command in [["CONFIG", "SET", "maxmemory-policy", "noeviction"], ["CONFIG", "SET", "maxmemory", "1mb"]] {
        redis.command::<()>(&command).await;
    }
    let (told, _) = examined(&house, &[]).await;
    assert_found(&told, "redis eviction policy", "ok", "noeviction");
    assert_found(&told, "redis memory", "warning", "QUEUE_KEEP_COMPLETED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_of_redis_who_may_too_little_is_named_and_the_hint_mends_it() {
    let redis = RedisServer::start().await;
    let mut house = House::on(&redis).await;
    let set_user = async |rules: &[&str]| {
        redis.command::<()>(&[&["ACL", "SETUSER", "worker", "reset", "on", ">PLANTEDPASSWORD"], rules].concat()).await;
    };
    set_user(&["~other:*", "+@all", "-info", "-time"]).await;
    house.set("REDIS_USERNAME", "worker");
    house.set("REDIS_PASSWORD", "PLANTEDPASSWORD");
    let (told, code) = examined(&house, &[]).await;
    assert_eq!(code, Some(1), "{told}");
    assert_found(&told, "redis rights", "failed", "user worker may not EVAL, HGETALL, DEL");
    assert_found(&told, "redis version", "not_checked", "INFO");
    assert_found(&told, "redis clock", "not_checked", "TIME");
    let (_, hint) = found(&told, "redis rights");
    let (_, rules) = hint.split_once("NAME on ").expect("the hint is a command");
    let rules: Vec<String> = rules.split(' ').map(|rule| rule.trim_matches('\'').to_owned()).collect();
    set_user(&rules.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let (told, code) = examined(&house, &[]).await;
    assert_eq!(code, Some(0), "{told}");
    assert_found(&told, "redis rights", "ok", "user worker");
    // The rules of the hint are enough for the whole line.
    let (_daemon, _worker) = (house.daemon(), house.worker());
    let ids = house.insert_plain(3);
    house.until_all(&ids, "SENT").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_does_not_answer_hides_none_of_the_others() {
    let redis = RedisServer::start().await;
    redis.command::<()>(&["CONFIG", "SET", "requirepass", "PLANTEDPASSWORD"]).await;
    let mut house = House::on(&redis).await;
    house.set("REDIS_PASSWORD", "PLANTEDWRONG");
    house.fault(HttpFault::new(Face::Rest, Effect::Timeout));
    let (told, code) = examined(&house, &[]).await;
    assert_eq!(code, Some(1), "{told}");
    assert_found(&told, "redis", "failed", "REDIS_PASSWORD");
    assert_found(&told, "supabase reads", "failed", "no answer within 10 s");
    assert_found(&told, "realtime", "not_checked", "does not answer us");
    assert_found(&told, "novu key", "ok", "accepts it");
    assert_found(&told, "enterprises", "ok", "5 would be served");
    house.mend();
    house.break_novu(Effect::Status {
        status: 503,
        body: ErrorBody::Html,
        retry_after_s: None,
        behind_idempotency: false,
    });
    house.set("REDIS_PASSWORD", "PLANTEDPASSWORD");
    let (told, _) = examined(&house, &[]).await;
    assert_found(&told, "redis password", "ok", "refused");
    assert_found(&told, "supabase reads", "ok", "");
    assert_found(&told, "novu key", "warning", "503");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_of_supabase_is_told_from_the_others_with_what_mends_it() {
    let mut house = House::with(None, Options::default()).await;
    let unexposed =
        Effect::Status { status: 406, body: ErrorBody::Json, retry_after_s: None, behind_idempotency: false };
    house.fault(HttpFault::new(Face::Rest, unexposed));
    let (told, code) = examined(&house, &[]).await;
    assert_eq!(code, Some(1), "{told}");
    assert_found(&told, "supabase reads", "failed", "Exposed schemas");
    assert_found(&told, "redis", "not_checked", "REDIS_URL is not set");
    let realtime = RealtimeFaults { system_error: Some("no such publication".to_owned()), ..RealtimeFaults::default() };
    let rest = RestFaults { deny_writes: true, ..RestFaults::default() };
    house.state().set_faults(Faults { realtime, rest, clock_offset_ms: 3_600_000, ..Faults::default() });
    let (told, code) = examined(&house, &[]).await;
    assert_eq!(code, Some(1), "{told}");
    assert_found(&told, "supabase reads", "ok", "");
    assert_found(&told, "supabase writes", "failed", "docker/sql/xnovu.sql");
    assert_found(&told, "realtime", "failed", "no such publication");
    assert_found(&told, "clock", "warning", "ahead of");
    house.mend();
    house.set("SUPABASE_SERVICE_ROLE_KEY", "sb_publishable_PLANTED");
    house.set("NOVU_SECRET_KEY", "PLANTEDWRONG");
    let (told, code) = examined(&house, &[]).await;
    assert_eq!(code, Some(1), "{told}");
    assert_found(&told, "supabase key", "failed", "anon");
    assert_found(&told, "supabase reads", "failed", "SUPABASE_SERVICE_ROLE_KEY");
    assert_found(&told, "novu key", "failed", "NOVU_SECRET_KEY");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hazard_20_rows_that_another_sender_has_just_sent_are_seen() {
    let house = House::with(None, Options::default()).await;
    let (told, _) = examined(&house, &[]).await;
    assert_found(&told, "another sender, by its rows", "ok", "nobody else");
    let sent = house.insert(json!({"enterprise_id": ENTERPRISES[1]}));
    // The TypeScript daemon leaves the transaction id empty.
    house.update(sent, json!({"notification_status": "SENT", "processed_at": in_seconds(-7_200)}));
    let (told, _) = examined(&house, &[]).await;
    assert_found(&told, "another sender, by its rows", "ok", "nobody else");
    house.update(sent, json!({"processed_at": in_seconds(-60)}));
    let (told, code) = examined(&house, &[]).await;
    assert_eq!(code, Some(0), "{told}");
    assert_found(&told, "another sender, by its rows", "warning", ENTERPRISES[1]);
    house.update(sent, json!({"notification_status": "PROCESSING", "processed_at": in_seconds(-7_200)}));
    let (told, _) = examined(&house, &[]).await;
    assert_found(&told, "another sender, by its rows", "warning", "for longer than 15 min");
    house.update(sent, json!({"transaction_id": format!("xn-{}-{sent}-1", ENTERPRISES[1])}));
    let (told, _) = examined(&house, &[]).await;
    assert_found(&told, "another sender, by its rows", "ok", "nobody else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_does_not_load_and_a_binding_to_none_are_named() {
    let house = House::with(None, Options::default()).await;
    bind_priority_desk(&house);
    let component = house.plugins().join("priority-desk/priority-desk.wasm");
    std::fs::write(&component, "no component").unwrap();
    let more = format!("\n[enterprises.\"{}\"]\nplugin = \"not-there\"\n", ENTERPRISES[0]);
    let bindings = house.plugins().join("bindings.toml");
    std::fs::write(&bindings, std::fs::read_to_string(&bindings).unwrap() + &more).unwrap();
    let (told, code) = examined(&house, &[]).await;
    assert_eq!(code, Some(1), "{told}");
    let all: Vec<&Value> =
        told["findings"].as_array().unwrap().iter().filter(|one| one["check"] == "plugins").collect();
    for (name, of) in [("priority-desk", ENTERPRISES[1]), ("not-there", ENTERPRISES[0])] {
        let failed = |words: &str| {
            all.iter().any(|one| one["verdict"] == "failed" && one["what"].as_str().unwrap().contains(words))
        };
        assert!(failed(name) && failed(&format!("enterprise {of} is held")), "{name}: {all:?}");
    }
    let elsewhere = house.dir().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let (told, _) =
        examined(&house, &["--plugins", elsewhere.to_str().unwrap(), "--enterprises", ENTERPRISES[3]]).await;
    assert_found(&told, "enterprises", "ok", "1 would be served");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_settings_are_told_and_what_the_others_lead_to_is_looked_at_all_the_same() {
    let redis = RedisServer::start().await;
    let mut house = House::on(&redis).await;
    house.set("NOVU_SECRET_KEY", "");
    house.set("WORKER_CONCURRENCY", "many");
    let (told, code) = examined(&house, &[]).await;
    assert_eq!(code, Some(EXIT_SETTINGS), "{told}");
    let wrong: Vec<&Value> =
        told["findings"].as_array().unwrap().iter().filter(|one| one["check"] == "settings").collect();
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert_found(&told, "novu", "not_checked", "settings are missing or wrong");
    assert_found(&told, "redis eviction policy", "ok", "noeviction");
    assert_found(&told, "supabase reads", "ok", "");
    let empty = tempfile::tempdir().unwrap();
    let ran = process::run(&["doctor"], empty.path(), &[]).await;
    assert_eq!(ran.code, Some(EXIT_SETTINGS), "{ran:?}");
    assert!(ran.stdout.contains("failed       settings: NOVU_SECRET_KEY: is not set"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_daemon_is_named_and_not_disturbed() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    let (daemon, _worker) = (house.daemon(), house.worker());
    daemon.until_subscribed().await;
    let (told, _) = examined(&house, &[]).await;
    assert_found(&told, "state directory", "ok", &format!("daemon (pid {})", daemon.pid()));
    assert_found(&told, "another sender, by its queues", "ok", "no queue of the TypeScript daemon");
    let ids = house.insert_plain(3);
    house.until_all(&ids, "SENT").await;
    house.assert_sent_once(&ids);
    let (told, _) = examined(&house, &[]).await;
    assert_found(&told, "another sender, by its rows", "ok", "nobody else");
}
