use super::*;
use crate::source::ChangeKind;
use serde_json::Value;
use xnovu_domain::NotificationId;

const SECOND: Duration = Duration::from_secs(1);
const BAD_UUID: &str =
    "Unable to subscribe to changes with given parameters. Exception: invalid input syntax for type uuid: \"x\"";

/// A session, its server and the time.
struct Bench {
    session: Session,
    now: Instant,
    effects: Vec<Effect>,
}

impl Bench {
    fn new(groups: &[&[&str]]) -> Self {
        let groups: Vec<Group> = groups.iter().map(|ids| group(ids)).collect();
        let now = Instant::now();
        let session = Session::new(&groups, Arc::default(), Timing::with_heartbeat(25 * SECOND), now);
        let mut bench = Self { session, now, effects: Vec::new() };
        bench.pass(Duration::ZERO);
        bench
    }

    /// Lets time pass; what is sent meanwhile is kept.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.session.next_tick() <= until {
            self.now = self.now.max(self.session.next_tick());
            let effects = self.session.tick(self.now).unwrap();
            self.effects.extend(effects);
            // A server that lives answers heartbeats.
            self.session.receive(reply("phoenix", None, Ok(())), self.now);
        }
        self.now = until;
    }

    fn receive(&mut self, frame: Frame) {
        let effects = self.session.receive(frame, self.now);
        self.effects.extend(effects);
    }

    /// The frames sent since the last call, as event, topic, join reference.
    fn sent(&mut self) -> Vec<(String, String, Value)> {
        let (sent, rest) =
            std::mem::take(&mut self.effects).into_iter().partition(|effect| matches!(effect, Effect::Send(_)));
        self.effects = rest;
        let read = |effect: Effect| {
            let Effect::Send(text) = effect else { unreachable!("only frames were kept") };
            let frame: Value = serde_json::from_str(&text).unwrap();
            (frame[3].as_str().unwrap().to_owned(), frame[2].as_str().unwrap().to_owned(), frame[0].clone())
        };
        Vec::into_iter(sent).map(read).filter(|(event, ..)| event != "heartbeat").collect()
    }

    fn joins(&mut self) -> Vec<String> {
        self.sent().into_iter().filter(|(event, ..)| event == "phx_join").map(|(_, topic, _)| topic).collect()
    }

    /// The effects other than frames since the last call.
    fn told(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects).into_iter().filter(|effect| !matches!(effect, Effect::Send(_))).collect()
    }

    fn ready(&mut self, topic: &str) {
        self.receive(system(topic, CHANGES, Ok(())));
    }
}

fn group(ids: &[&str]) -> Group {
    ids.iter().map(|id| id.parse().unwrap()).collect()
}

fn frame(topic: &str, event: Event) -> Frame {
    Frame { join_ref: None, reference: None, topic: topic.to_owned(), event }
}

fn reply(topic: &str, reference: Option<&str>, result: Result<(), &str>) -> Frame {
    let reference = reference.map(str::to_owned);
    Frame { join_ref: reference.clone(), reference, ..frame(topic, Event::Reply(result.map_err(str::to_owned))) }
}

fn system(topic: &str, extension: &str, standing: Result<(), &str>) -> Frame {
    let standing = standing.map_err(str::to_owned);
    frame(topic, Event::System { extension: extension.to_owned(), standing })
}

fn change(id: Option<i64>, enterprise: Option<&str>, status: Option<&str>) -> Event {
    let id = id.map(|id| NotificationId::new(id).unwrap());
    Event::Change(Change {
        id,
        enterprise: enterprise.map(|id| id.parse().unwrap()),
        status: status.map(str::to_owned),
        kind: Some(ChangeKind::Update),
    })
}

fn stand(ids: &[&str], connection: Connection, why: Option<&str>) -> Effect {
    Effect::Stand(group(ids), connection, why.map(str::to_owned))
}

const ONE: &str = "realtime:xnovu-1";

/// The bindings of the one join a session with these settings sends, as event and filter.
fn bindings(settings: &[(&str, &str)], ids: &[&str]) -> Vec<(String, String)> {
    let mut layers = crate::config::Layers::default();
    let usual = [("SUPABASE_URL", "http://localhost"), ("SUPABASE_SERVICE_ROLE_KEY", "k"), ("NOVU_SECRET_KEY", "k")];
    for (name, value) in usual.iter().chain(settings) {
        layers.set(name, value, crate::config::Layer::Environment);
    }
    let settings = crate::config::Config::read(&layers).unwrap().per_enterprise;
    let now = Instant::now();
    let mut session = Session::new(&[group(ids)], settings, Timing::with_heartbeat(25 * SECOND), now);
    let effects = session.tick(now).unwrap();
    let [Effect::Send(join)] = effects.as_slice() else { panic!("{effects:?}") };
    let join: Value = serde_json::from_str(join).unwrap();
    let word = |binding: &Value, key: &str| binding[key].as_str().unwrap().to_owned();
    let bindings = join[4]["config"]["postgres_changes"].as_array().unwrap();
    bindings.iter().map(|binding| (word(binding, "event"), word(binding, "filter"))).collect()
}

#[tokio::test(start_paused = true)]
async fn an_enterprise_is_told_of_only_by_the_events_it_has() {
    let both = |inserted: &str, updated: &str| {
        vec![("INSERT".to_owned(), inserted.to_owned()), ("UPDATE".to_owned(), updated.to_owned())]
    };
    let one = [("ENT_a_EVENTS", "INSERT")];
    assert_eq!(bindings(&one, &["a", "b"]), both("enterprise_id=in.(a,b)", "enterprise_id=eq.b"));
    assert_eq!(bindings(&one, &["a"]), both("enterprise_id=eq.a", "")[..1]);
    assert_eq!(bindings(&[], &["a"]), both("enterprise_id=eq.a", "enterprise_id=eq.a"));
}

#[tokio::test(start_paused = true)]
async fn the_join_reply_is_no_readiness_and_every_system_ok_is() {
    let mut bench = Bench::new(&[&["a"]]);
    assert_eq!(bench.joins(), [ONE]);
    bench.receive(reply(ONE, Some("1"), Ok(())));
    bench.receive(system(ONE, "broadcast", Ok(())));
    assert_eq!(bench.told(), []);
    for _ in 0..2 {
        bench.ready(ONE);
        assert_eq!(bench.told(), [stand(&["a"], Connection::Subscribed, None), Effect::Sweep(group(&["a"]))]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_does_not_become_ready_is_left_and_joined_again() {
    let mut bench = Bench::new(&[&["a"]]);
    bench.receive(reply(ONE, Some("1"), Ok(())));
    bench.pass(14 * SECOND);
    assert_eq!(bench.joins(), [ONE]);
    bench.pass(SECOND);
    assert_eq!(
        bench.told(),
        [stand(&["a"], Connection::Error, Some("the server did not confirm the subscription within 15s"))]
    );
    bench.pass(SECOND);
    bench.ready(ONE);
    assert_eq!(bench.told(), [stand(&["a"], Connection::Subscribed, None), Effect::Sweep(group(&["a"]))]);
}

#[tokio::test(start_paused = true)]
async fn every_way_a_channel_can_end_leads_to_another_join() {
    let ends = [
        (frame(ONE, Event::Closed), false),
        (frame(ONE, Event::Crashed), false),
        (system(ONE, CHANGES, Err("boom")), true),
        (system(ONE, "system", Err("Token has expired 3 seconds ago")), true),
        (reply(ONE, Some("1"), Err("CODE: no")), false),
    ];
    for (end, leaves) in ends {
        let mut bench = Bench::new(&[&["a"]]);
        bench.ready(ONE);
        bench.sent();
        bench.receive(end.clone());
        let left = bench.sent().iter().any(|(event, _, join_ref)| event == "phx_leave" && join_ref == "1");
        assert_eq!(left, leaves, "{end:?}");
        assert!(
            bench.told().iter().any(|effect| matches!(effect, Effect::Stand(_, Connection::Error, Some(_)))),
            "{end:?}"
        );
        bench.pass(SECOND);
        assert_eq!(bench.joins(), [ONE], "{end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_belongs_to_an_earlier_join_changes_nothing() {
    let mut bench = Bench::new(&[&["a"]]);
    bench.receive(frame(ONE, Event::Crashed));
    bench.pass(SECOND);
    let join_ref = bench.sent().last().unwrap().2.as_str().unwrap().to_owned();
    assert_ne!(join_ref, "1");
    bench.ready(ONE);
    bench.told();
    bench.receive(Frame { join_ref: Some("1".to_owned()), ..frame(ONE, Event::Closed) });
    bench.receive(reply(ONE, Some("1"), Err("late")));
    assert_eq!(bench.told(), []);
    bench.receive(Frame { join_ref: Some(join_ref), ..frame(ONE, Event::Closed) });
    assert_eq!(bench.told().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn waits_between_joins_grow_until_a_channel_has_held() {
    let mut bench = Bench::new(&[&["a"]]);
    let wait = |bench: &mut Bench| {
        bench.receive(frame(ONE, Event::Closed));
        bench.sent();
        let start = bench.now;
        while bench.joins().is_empty() {
            bench.pass(SECOND / 10);
        }
        (bench.now - start).as_secs_f64()
    };
    let waits: Vec<f64> = (0..7).map(|_| wait(&mut bench)).collect();
    for (wait, ceiling) in waits.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]) {
        assert!((ceiling / 2.0..=ceiling + 0.2).contains(wait), "{waits:?}");
    }
    bench.ready(ONE);
    bench.pass(STABLE_AFTER);
    assert!(wait(&mut bench) <= 1.2);
}

#[tokio::test(start_paused = true)]
async fn a_refused_value_leaves_only_its_own_enterprise_in_error() {
    let mut bench = Bench::new(&[&["a", "bad", "c"]]);
    bench.sent();
    bench.receive(system(ONE, CHANGES, Err(BAD_UUID)));
    bench.pass(Duration::ZERO);
    let [a, bad, c] = ["realtime:xnovu-2", "realtime:xnovu-3", "realtime:xnovu-4"];
    assert_eq!(bench.joins(), [a, bad, c]);
    bench.told();
    bench.ready(a);
    bench.receive(system(bad, CHANGES, Err(BAD_UUID)));
    bench.ready(c);
    let want = [
        stand(&["a"], Connection::Subscribed, None),
        Effect::Sweep(group(&["a"])),
        stand(&["bad"], Connection::Error, Some(BAD_UUID)),
        stand(&["c"], Connection::Subscribed, None),
        Effect::Sweep(group(&["c"])),
    ];
    assert_eq!(bench.told(), want);
    bench.pass(SECOND);
    assert_eq!(bench.joins(), [bad]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_everybody_splits_nothing() {
    let mut bench = Bench::new(&[&["a", "b"]]);
    bench.sent();
    bench.receive(system(
        ONE,
        CHANGES,
        Err("Please check Realtime is enabled for the given connect parameters: [filters: []]"),
    ));
    bench.pass(SECOND);
    assert_eq!(bench.joins(), [ONE]);
}

#[tokio::test(start_paused = true)]
async fn joins_are_paced() {
    let ids: Vec<String> = (0..25).map(|n| format!("e{n}")).collect();
    let groups: Vec<Group> = ids.iter().map(|id| group(&[id])).collect();
    let now = Instant::now();
    let mut session = Session::new(&groups, Arc::default(), Timing::with_heartbeat(25 * SECOND), now);
    assert_eq!(session.tick(now).unwrap().len(), 10);
    assert_eq!(session.tick(now + SECOND / 2).unwrap().len(), 5);
    assert_eq!(session.next_tick(), now + SECOND * 6 / 10);
}

#[tokio::test(start_paused = true)]
async fn silence_from_one_heartbeat_to_the_next_is_death_and_any_frame_is_life() {
    let now = Instant::now();
    let mut session = Session::new(&[group(&["a"])], Arc::default(), Timing::with_heartbeat(25 * SECOND), now);
    let beats = |effects: Vec<Effect>| {
        effects.iter().filter(|effect| matches!(effect, Effect::Send(text) if text.contains("heartbeat"))).count()
    };
    assert_eq!(beats(session.tick(now).unwrap()), 0);
    assert_eq!(beats(session.tick(now + 25 * SECOND).unwrap()), 1);
    session.receive(frame("unknown", Event::Other), now + 26 * SECOND);
    assert_eq!(beats(session.tick(now + 50 * SECOND).unwrap()), 1);
    assert!(matches!(session.tick(now + 75 * SECOND), Err(SourceError::Silent(_))));
}

#[test]
fn a_change_is_a_hint_an_echo_or_a_reason_to_sweep() {
    let hint = |id: i64| {
        let id = NotificationId::new(id).unwrap();
        Some(Effect::Hint(Hint::Id {
            enterprise: "a".parse().unwrap(),
            id,
            via: Via::Realtime,
            change: Some(ChangeKind::Update),
        }))
    };
    let sweep = || Some(Effect::Sweep(group(&["a", "b"])));
    let cases = [
        (change(Some(7), Some("a"), Some("PENDING")), hint(7)),
        (change(Some(7), Some("a"), Some("RETRACTED")), hint(7)),
        (change(Some(7), Some("a"), None), hint(7)),
        (change(Some(7), Some("a"), Some("PROCESSING")), None),
        (change(Some(7), Some("a"), Some("SENT")), None),
        (change(Some(7), Some("stranger"), Some("PENDING")), None),
        (change(None, Some("a"), Some("PENDING")), sweep()),
        (change(Some(7), None, Some("PENDING")), sweep()),
    ];
    for (event, want) in cases {
        let Event::Change(change) = event.clone() else { panic!("not a change") };
        assert_eq!(told(&group(&["a", "b"]), change), want, "{event:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_on_an_unknown_topic_is_nobodys() {
    let mut bench = Bench::new(&[&["a"]]);
    bench.receive(frame("realtime:other", change(Some(7), Some("a"), Some("PENDING"))));
    assert_eq!(bench.told(), []);
}
