//! Settings that change, differ by enterprise, or lead to a Redis behind TLS.

use serde_json::json;
use xnovu_standin::{Action, Options};

use crate::support::redis::{Certificates, PASSWORD};
use crate::support::{ENTERPRISES, House, NOVU_KEY, RedisServer, SUPABASE_KEY, until};

/// Exit code of settings that are missing or wrong.
const EXIT_SETTINGS: i32 = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_rotated_in_their_files_are_used_without_a_restart() {
    let redis = RedisServer::start().await;
    let mut house = House::on(&redis).await;
    let (supabase, novu) = (house.dir().join("supabase"), house.dir().join("novu"));
    let write = |supabase_key: &str, novu_key: &str| {
        std::fs::write(&supabase, format!("{supabase_key}\n")).unwrap();
        std::fs::write(&novu, format!("{novu_key}\n")).unwrap();
    };
    write(SUPABASE_KEY, NOVU_KEY);
    house.set("SUPABASE_SERVICE_ROLE_KEY", "");
    house.set("NOVU_SECRET_KEY", "");
    house.set("SUPABASE_SERVICE_ROLE_KEY_FILE", supabase.display());
    house.set("NOVU_SECRET_KEY_FILE", novu.display());
    let (daemon, worker) = (house.daemon(), house.worker());
    let before = house.insert_plain(3);
    house.until_all(&before, "SENT").await;
    write("sb_secret_NEXT", "NEXTNOVUKEY");
    for process in [&daemon, &worker] {
        process.until_said("a secret was replaced", 2).await;
    }
    house.state().rotate_keys("sb_secret_NEXT", "NEXTNOVUKEY");
    house.state().act(Action::DropSockets);
    let after = house.insert_plain(3);
    house.until_all(&after, "SENT").await;
    daemon.until_subscribed().await;
    house.assert_sent_once(&[before, after].concat());
    for said in [daemon.stop().await, worker.stop().await] {
        assert!(!said.contains("NEXTNOVUKEY") && !said.contains("sb_secret_NEXT"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enterprise_that_is_switched_off_is_not_served() {
    let redis = RedisServer::start().await;
    let mut house = House::on(&redis).await;
    house.set("ENT_e3333333_3333_4333_8333_333333333333_SUBSCRIPTION_ENABLED", "false");
    let off = house.insert(json!({"enterprise_id": ENTERPRISES[2]}));
    let (daemon, _worker) = (house.daemon(), house.worker());
    let on: Vec<i64> = [0, 1, 3].map(|n| house.insert(json!({"enterprise_id": ENTERPRISES[n]}))).into();
    house.until_all(&on, "SENT").await;
    daemon.stop().await;
    house.assert_untouched(off);
    house.set("DAEMON_ENTERPRISE_IDS", ENTERPRISES[2]);
    let (status, said) = house.daemon().ended().await;
    assert_eq!(status.code(), Some(EXIT_SETTINGS), "{said}");
    assert!(said.contains("all are switched off"), "{said}");
}

/// A house that has all it needs to reach this Redis.
async fn house_on_tls(redis: &RedisServer, certificates: &Certificates) -> House {
    let mut house = House::with(None, Options::default()).await;
    house.set("REDIS_URL", redis.tls_url());
    house.set("REDIS_PASSWORD", PASSWORD);
    house.set("REDIS_TLS_CA", certificates.authority.display());
    house.set("REDIS_TLS_CERT", certificates.client.display());
    house.set("REDIS_TLS_KEY", certificates.client_key.display());
    house
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_with_tls_client_certificates_and_a_password_carries_the_line() {
    let directory = tempfile::tempdir().unwrap();
    let certificates = Certificates::make(directory.path());
    let redis = RedisServer::with_tls(&certificates).await;
    let house = house_on_tls(&redis, &certificates).await;
    let (daemon, worker) = (house.daemon(), house.worker());
    let ids = house.insert_plain(5);
    house.until_all(&ids, "SENT").await;
    house.assert_sent_once(&ids);
    for said in [daemon.stop().await, worker.stop().await] {
        assert!(!said.contains(PASSWORD), "{said}");
    }
    // Without either there is no connection.
    for name in ["REDIS_PASSWORD", "REDIS_TLS_CA"] {
        let mut house = house_on_tls(&redis, &certificates).await;
        house.set(name, "");
        let (status, said) = house.worker().ended().await;
        assert_eq!(status.code(), Some(1), "{name}: {said}");
        assert!(said.contains("connecting to Redis (REDIS_URL)"), "{name}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_can_stand_in_xnovu_toml() {
    let redis = RedisServer::start().await;
    let mut house = House::on(&redis).await;
    for name in [
        "NEXT_PUBLIC_SUPABASE_URL",
        "SUPABASE_SERVICE_ROLE_KEY",
        "NOVU_SECRET_KEY",
        "NOVU_API_URL",
        "REDIS_URL",
        "DAEMON_ENTERPRISE_IDS",
    ] {
        house.set(name, "");
    }
    let (url, redis_url, enterprise) = (house.standin.url(), redis.url(), ENTERPRISES[0]);
    let text = format!(
        "[supabase]\nurl = \"{url}\"\nkey = \"{SUPABASE_KEY}\"\n[novu]\nurl = \"{url}\"\nkey = \"{NOVU_KEY}\"\n\
         [redis]\nurl = \"{redis_url}\"\n[daemon]\nenterprises = [\"{enterprise}\"]\n\
         [enterprises.\"{enterprise}\"]\nrealtime_priority = 700\n"
    );
    std::fs::write(house.dir().join("xnovu.toml"), text).unwrap();
    let daemon = house.daemon();
    let ids = house.insert_plain(2);
    daemon.until_queue(&[("waiting", 2)]).await;
    let prefix = format!("xnovu-{}", url.trim_start_matches("http://").replace(['.', ':'], "-"));
    until("the jobs have the priority of their enterprise", async || {
        let jobs: Vec<String> = redis.command(&["KEYS", &format!("{prefix}:notification-processing:xn-*")]).await;
        let first = jobs.first().ok_or("no job")?;
        let priority: String = redis.command(&["HGET", first, "priority"]).await;
        if priority == "301" { Ok(()) } else { Err(format!("{first}: {priority}")) }
    })
    .await;
    let _worker = house.worker();
    house.until_all(&ids, "SENT").await;
}
