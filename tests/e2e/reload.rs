//! Rules that are exchanged while the line runs, and rules that are hostile: nothing is lost, nothing mixed, nobody else is hurt.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use xnovu_rules::Digest;

use crate::support::page::{Counts, Page};
use crate::support::{ENTERPRISES, House, RedisServer, Xnovu, free_port, marked, until, until_within};

/// Longest wait for rows that were held for a while.
const LONG: Duration = Duration::from_secs(90);

/// Whose rules are exchanged.
const E: &str = ENTERPRISES[1];

/// Whose rules are exchanged as well, and whose notifications are lost where nobody answers.
const D: &str = ENTERPRISES[2];

/// Notifications inserted at a time while something is waited for, of each of three enterprises: with the pause below, 450 a second.
const BURST: usize = 3;

const PAUSE: Duration = Duration::from_millis(20);

/// What `xnovu plugin list` says of an enterprise, where every process answers.
async fn try_listed(house: &House, enterprise: &str) -> Result<Value, String> {
    let ran = house.run(&["plugin", "list", "--output", "json"]).await;
    if ran.code != Some(0) || ran.stderr.contains("warning: ") {
        return Err(format!("{ran:?}"));
    }
    let list = ran.json();
    let rows = list["plugins"].as_array().unwrap();
    let row = rows.iter().find(|row| row["enterprise"] == enterprise);
    row.cloned().ok_or_else(|| format!("not listed: {list}"))
}

async fn listed(house: &House, enterprise: &str) -> Value {
    try_listed(house, enterprise).await.unwrap()
}

/// Waits until every process of the house runs that version for E, in that state.
async fn until_listed(house: &House, version: &str, state: &str) {
    until(&format!("{version} is {state} everywhere"), async || {
        let row = try_listed(house, E).await?;
        let everywhere = row["others"].as_array().unwrap().is_empty();
        if everywhere && row["version"] == version && row["state"] == state { Ok(()) } else { Err(row.to_string()) }
    })
    .await;
}

/// Inserts notifications of E, of D and of an enterprise without rules, in turn.
struct Load<'h> {
    house: &'h House,
    ids: Vec<i64>,
    plain: Vec<i64>,
}

impl<'h> Load<'h> {
    fn new(house: &'h House) -> Self {
        Self { house, ids: Vec::new(), plain: Vec::new() }
    }

    fn insert(&mut self, count: usize) {
        for _ in 0..count {
            self.ids.extend([E, D].map(|enterprise| self.house.insert(json!({"enterprise_id": enterprise}))));
            self.plain.push(self.house.insert(json!({})));
        }
    }

    /// Waits, and inserts one burst after the other meanwhile.
    async fn during(&mut self, wait: impl Future<Output = ()>) {
        tokio::pin!(wait);
        let mut turns = tokio::time::interval(PAUSE);
        loop {
            tokio::select! {
                () = &mut wait => return,
                _ = turns.tick() => self.insert(BURST),
            }
        }
    }

    /// Every notification was sent: those with rules as two messages of one version each, the others once as they are. Answers the versions.
    async fn judge(&self) -> BTreeSet<String> {
        until_within(LONG, "every notification is sent", async || {
            let all = self.ids.iter().chain(&self.plain);
            let open: Vec<Value> =
                all.map(|id| self.house.row(*id)).filter(|row| row["notification_status"] != "SENT").collect();
            if open.is_empty() { Ok(()) } else { Err(format!("{} are not; the first is {}", open.len(), open[0])) }
        })
        .await;
        let mut payloads: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for delivery in self.house.state().deliveries(0) {
            let (job, _message_and_chunk) = delivery.transaction_id.rsplit_once("-m").unwrap();
            payloads.entry(job.to_owned()).or_default().push(delivery.payload);
        }
        let mut versions = BTreeSet::new();
        for id in &self.ids {
            let row = self.house.row(*id);
            let sent = payloads.remove(row["transaction_id"].as_str().unwrap()).unwrap_or_default();
            let of =
                |field: &str| sent.iter().filter_map(|payload| payload[field].as_str()).collect::<BTreeSet<&str>>();
            let marks = of("mark");
            assert_eq!((sent.len(), marks.len()), (2, 1), "two messages of one version: {sent:?} of {row}");
            assert_eq!(of("admitted"), marks, "one version let it in and mapped it: {sent:?} of {row}");
            versions.extend(marks.into_iter().map(str::to_owned));
        }
        for id in &self.plain {
            let row = self.house.row(*id);
            let sent = payloads.remove(row["transaction_id"].as_str().unwrap()).unwrap_or_default();
            assert_eq!(sent.len(), 1, "{row}");
        }
        assert!(payloads.is_empty(), "sent for no row's last job: {payloads:?}");
        versions
    }
}

fn hang_up(process: &Xnovu) {
    let killed = Command::new("kill").args(["-HUP", &process.pid().to_string()]).status().unwrap();
    assert!(killed.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn good_bad_and_hanging_versions_under_load_lose_nothing_and_mix_nothing() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    marked::put(&house, "p", "0.0.0", &marked::component("good", 0));
    marked::bind_with(&house, &[(E, "p", "hold"), (D, "p", "drop")]);
    let daemon = house.daemon();
    let _workers = [house.worker(), house.worker()];
    daemon.until_subscribed().await;
    until_listed(&house, "0.0.0", "ready").await;
    let mut load = Load::new(&house);
    load.insert(20);
    let component = house.plugins().join("p/p.wasm");

    marked::put(&house, "p", "1.0.0", &marked::component("good", 1));
    load.during(until_listed(&house, "1.0.0", "ready")).await;
    // Half a component, overwritten in place.
    fs::write(&component, &marked::component("good", 99)[..9_999]).unwrap();
    load.during(until_listed(&house, "1.0.0", "last-good")).await;
    assert!(listed(&house, E).await["reason"].as_str().unwrap().contains("not a valid component"));
    // Loops on everything, and is found out by the trial.
    marked::put(&house, "p", "2.0.0", &marked::component("loop", 2));
    load.during(until_reason(&house, "fails on a plain notification")).await;
    marked::put(&house, "p", "3.0.0", &marked::component("good", 3));
    load.during(until_listed(&house, "3.0.0", "ready")).await;
    // Loops on what has a payload: it is taken, and gives way once it has failed five times.
    marked::put(&house, "p", "4.0.0", &marked::component("late", 4));
    load.during(until_listed(&house, "4.0.0", "fallback")).await;
    marked::put(&house, "p", "5.0.0", &marked::component("good", 5));
    load.during(until_listed(&house, "5.0.0", "ready")).await;
    // Traps on everything, which no trial refuses: where D's are not to be lost, the last good version has to answer from the first on.
    marked::put(&house, "p", "6.0.0", &marked::component("trap", 6));
    load.during(until_listed(&house, "6.0.0", "fallback")).await;
    load.insert(20);

    let versions = load.judge().await;
    let good = [0, 1, 3, 5].map(|number| marked::mark("good", number));
    assert!(versions.iter().all(|version| good.contains(version)), "{versions:?}");
    for served in [&good[0], &good[3]] {
        assert!(versions.contains(served), "{served} has decided nothing: {versions:?}");
    }
    daemon.until_queue(&[("waiting", 0), ("active", 0)]).await;
    daemon.stop().await;
}

async fn until_reason(house: &House, part: &str) {
    until(&format!("a reason contains {part:?}"), async || {
        let row = listed(house, E).await;
        if row["reason"].as_str().is_some_and(|reason| reason.contains(part)) { Ok(()) } else { Err(row.to_string()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_rules_hold_their_own_rows_with_a_reason_and_nobody_elses() {
    let redis = RedisServer::start().await;
    let house = House::on(&redis).await;
    for does in ["trap", "loop", "bomb"] {
        marked::put(&house, does, "1.0.0", &marked::component(does, 1));
    }
    marked::put(&house, "sockets", "1.0.0", &marked::that_wants_sockets());
    let hostile = [
        ("trap", "it trapped"),
        ("loop", "it used up its fuel"),
        ("bomb", "more memory than it may have"),
        ("sockets", "wasi:sockets/tcp@0.2.0"),
    ];
    let bound: Vec<(&str, &str)> =
        hostile.iter().enumerate().map(|(n, (name, _))| (ENTERPRISES[n + 1], *name)).collect();
    marked::bind(&house, &bound);
    let mut held = Vec::new();
    for _ in 0..6 {
        held.extend(bound.iter().map(|(enterprise, _)| house.insert(json!({"enterprise_id": enterprise}))));
    }
    let (daemon, _worker) = (house.daemon(), house.worker());
    let others = house.insert_plain(50);
    house.until_all(&others, "SENT").await;
    for ((enterprise, name), (_, why)) in bound.iter().zip(hostile) {
        until(&format!("{name} is known to fail"), async || {
            let row = try_listed(&house, enterprise).await?;
            let told = row["reason"].as_str().is_some_and(|reason| reason.contains(why));
            if told && (row["state"] == "suspended" || row["state"] == "not-loaded") {
                Ok(())
            } else {
                Err(row.to_string())
            }
        })
        .await;
    }
    let health = daemon.health().await;
    assert_eq!(health["status"], "degraded", "{health}");
    let metrics = daemon.get("/metrics").await.unwrap().1;
    for shown in ["xnovu_plugin_bindings{state=\"suspended\"} 3", "xnovu_plugin_bindings{state=\"not-loaded\"} 1"] {
        assert!(metrics.contains(shown), "{shown} is not in {metrics}");
    }
    house.assert_sent_once(&others);
    held.iter().for_each(|id| house.assert_untouched(*id));

    // Mended, they are sent.
    for (_, name) in &bound {
        marked::put(&house, name, "2.0.0", &marked::component("good", 2));
    }
    let reloaded = house.run(&["plugin", "reload"]).await.succeeded();
    assert!(reloaded.stdout.contains(&format!("enterprise {}: sockets@2.0.0", ENTERPRISES[4])), "{reloaded:?}");
    until_within(LONG, "the held notifications are sent", async || {
        let open: Vec<Value> =
            held.iter().map(|id| house.row(*id)).filter(|row| row["notification_status"] != "SENT").collect();
        if open.is_empty() { Ok(()) } else { Err(format!("{} are not; the first is {}", open.len(), open[0])) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_lists_reloads_and_rolls_back() {
    let redis = RedisServer::start().await;
    let mut house = House::on(&redis).await;
    // Nothing is found by looking, so that each trigger is seen to work by itself.
    house.set("XNOVU_PLUGINS_RESCAN", 3_600_000);
    marked::put(&house, "p", "1.0.0", &marked::component("good", 1));
    marked::bind(&house, &[(E, "p")]);
    let before = house.run(&["plugin", "list"]).await.succeeded();
    assert!(before.stderr.contains("this is what a start would load") && before.stdout.contains("ready"), "{before:?}");
    let alone = house.run(&["plugin", "reload"]).await;
    assert!(alone.code == Some(1) && alone.stderr.contains("hint: start one"), "{alone:?}");

    let (daemon, _worker) = (house.daemon(), house.worker());
    daemon.until_subscribed().await;
    until_listed(&house, "1.0.0", "ready").await;
    house.until_status(house.insert(json!({"enterprise_id": E})), "SENT").await;
    let row = listed(&house, E).await;
    assert!(row["decisions"].as_u64().unwrap() >= 2 && row["p99_us"].is_u64() && row["fuel"].is_u64(), "{row}");
    let early = house.run(&["plugin", "rollback", E]).await;
    assert!(
        early.code == Some(1) && early.stderr.contains("no version of") && early.stderr.contains("hint: "),
        "{early:?}"
    );

    marked::put(&house, "p", "2.0.0", &marked::component("good", 2));
    house.run(&["plugin", "reload"]).await.succeeded();
    until_listed(&house, "2.0.0", "ready").await;
    let back = house.run(&["plugin", "rollback", E]).await.succeeded();
    assert!(back.stdout.contains("p@1.0.0") && back.stdout.contains("in place of p@2.0.0"), "{back:?}");
    until_listed(&house, "1.0.0", "rolled-back").await;
    let sent = house.insert(json!({"enterprise_id": E}));
    house.until_status(sent, "SENT").await;
    assert_eq!(house.deliveries(sent)[0].payload["mark"], marked::mark("good", 1));

    daemon.stop().await;
    let daemon = house.daemon();
    until_listed(&house, "1.0.0", "rolled-back").await;
    house.run(&["plugin", "rollback", E, "--undo"]).await.succeeded();
    until_listed(&house, "2.0.0", "ready").await;

    // Behind a link that leads out of the directory no event tells of a change.
    let (component, elsewhere) = (house.plugins().join("p/p.wasm"), house.dir().join("elsewhere.wasm"));
    fs::write(&elsewhere, marked::component("good", 2)).unwrap();
    symlink(&elsewhere, component.with_extension("link")).unwrap();
    fs::rename(component.with_extension("link"), &component).unwrap();
    house.run(&["plugin", "reload"]).await.succeeded();
    fs::write(&elsewhere, marked::component("good", 3)).unwrap();
    let digest = Digest::of(&marked::component("good", 3)).to_string();
    hang_up(&daemon);
    until("the daemon has reloaded at SIGHUP", async || {
        let health = daemon.health().await;
        if health["plugins"][0]["digest"] == digest { Ok(()) } else { Err(health["plugins"].to_string()) }
    })
    .await;
    assert!(!listed(&house, E).await["others"].as_array().unwrap().is_empty(), "the worker has heard of nothing");

    marked::replace(&component, b"no component");
    let refused = house.run(&["plugin", "reload"]).await;
    assert!(refused.code == Some(1) && refused.stdout.contains("! plugin p: 2.0.0 stays"), "{refused:?}");
    let table = house.run(&["plugin", "list"]).await.succeeded();
    assert!(table.stdout.contains("last-good") && table.stderr.contains("it is not WebAssembly"), "{table:?}");
    daemon.stop().await;
}

/// The example of `bindings.toml` on the operator's page.
fn shown_bindings() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rules.md");
    let page = fs::read_to_string(page).unwrap();
    let [_, example] = page.split("```toml\n").collect::<Vec<_>>()[..] else { panic!("not one example") };
    example.split("```").next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operators_page_works_as_it_stands() {
    let redis = RedisServer::start().await;
    let mut house = House::on(&redis).await;
    house.set("XNOVU_STATE_DIR", house.dir().join(".xnovu").display());
    for plugin in ["night-desk", "house-rules"] {
        marked::put(&house, plugin, "1.0.0", &marked::component("good", 1));
    }
    marked::replace(&house.plugins().join("bindings.toml"), shown_bindings().as_bytes());
    let (daemon, _worker) = (house.daemon(), house.worker());
    until_listed(&house, "1.0.0", "ready").await;
    assert_eq!(listed(&house, "*").await["state"], "ready");
    marked::put(&house, "night-desk", "1.2.0", &marked::component("good", 2));
    let counts = Page::of(&house, "docs/rules.md", free_port()).run().await;
    assert_eq!(counts, Counts { run: 4, not_run: 0 });
    until_listed(&house, "1.2.0", "ready").await;
    daemon.stop().await;
}
