//! Many notifications of every kind, and an oracle that knows what must come of each.
//!
//! Owns the kinds, what is special about the row of each, and its one end, computed from the row and the settings of the bound samples alone.

use std::collections::{HashMap, HashSet};

use chrono::Timelike as _;
use serde_json::{Value, json};
use xnovu_standin::{Delivery, WorkflowState};

use crate::support::plugins::{bind, fire_safety, priority_desk, quiet_hours};
use crate::support::{
    ENTERPRISES, House, TABLE, assert_delivered_once, in_seconds, own_workflow, subscriber, until_within,
};

/// How long the whole run may take on a loaded machine.
const RUN_PATIENCE: std::time::Duration = std::time::Duration::from_secs(80);

/// A workflow the enterprise has published and Novu does not know.
const UNKNOWN_TO_NOVU: &str = "unknown-to-novu";

/// What stands in every payload and must be seen nowhere but at Novu.
const PLANTED: &str = "planted-payload";

/// The kinds of notifications.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Plain,
    Draft,
    Deactivated,
    Soon,
    Far,
    Crowd,
    NoWorkflow,
    UnknownToNovu,
    TakenBack,
    /// `priority-desk`: refused, and put first.
    Muted,
    Raised,
    /// `quiet-hours`: can wait until the morning.
    Quiet,
    /// `fire-safety`: two that are mapped, one that is refused, one that cannot be read.
    Emergency,
    Assessment,
    DrillOver,
    NoFloor,
}

/// What must come of a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    /// Sent once, to everybody on the row and nobody else.
    Sent,
    /// Failed, with this in the reason.
    Failed(&'static str),
    /// As it was.
    Untouched(&'static str),
    /// Taken back by the rules with this reason.
    Retracted(&'static str),
    /// Put off by the rules until their quiet hours end.
    Deferred,
}

/// The quiet hours of the run: they have begun an hour ago and last for three more.
struct Quiet {
    from: String,
    until: chrono::DateTime<chrono::Utc>,
}

impl Quiet {
    #[expect(clippy::disallowed_methods, reason = "the rules of a test go by the machine's clock, as a user's do")]
    fn around_now() -> Self {
        let hours = |hours| chrono::Utc::now() + chrono::TimeDelta::hours(hours);
        let until = hours(3).with_second(0).and_then(|at| at.with_nanosecond(0)).unwrap();
        Self { from: hours(-1).format("%H:%M").to_string(), until }
    }

    fn to(&self) -> String {
        self.until.format("%H:%M").to_string()
    }
}

impl Kind {
    /// The kind of the notification at this turn. Turns go round the enterprises, and then round the kinds. The second enterprise is bound
    /// to `priority-desk`, the third to `quiet-hours`, the fourth to `fire-safety`.
    fn of(turn: usize) -> Self {
        let (enterprise, round) = (turn % ENTERPRISES.len(), turn / ENTERPRISES.len() % 20);
        match (enterprise, round) {
            (_, 2) => Self::Draft,
            (_, 5) => Self::Deactivated,
            (_, 7) => Self::Soon,
            (_, 9) => Self::Far,
            (_, 17) => Self::TakenBack,
            (0 | 4, 11) if (turn / 100).is_multiple_of(4) => Self::Crowd,
            (0 | 4, 13) => Self::NoWorkflow,
            (0 | 4, 15) => Self::UnknownToNovu,
            (1, 1 | 10) => Self::Muted,
            (1, 3 | 12) => Self::Raised,
            (2, 1 | 6 | 14) => Self::Quiet,
            (3, 1 | 10) => Self::DrillOver,
            (3, 3 | 12) => Self::Assessment,
            (3, 19) => Self::NoFloor,
            (3, _) => Self::Emergency,
            _ => Self::Plain,
        }
    }

    /// What is special about its row.
    fn columns(self, turn: u64, enterprise: &str) -> Value {
        match self {
            Self::Plain => {
                json!({"recipients": (0..=turn % 3).map(|n| subscriber(turn * 1_000 + n)).collect::<Vec<_>>()})
            }
            Self::Draft => json!({"publish_status": "DRAFT"}),
            Self::Deactivated => json!({"deactivated": true}),
            Self::Soon => json!({"scheduled_for": in_seconds(2)}),
            Self::Far => json!({"scheduled_for": in_seconds(86_400)}),
            Self::Crowd => json!({"recipients": (0..250).map(|n| subscriber(turn * 1_000 + n)).collect::<Vec<_>>()}),
            Self::NoWorkflow => json!({"workflow_key": null}),
            Self::UnknownToNovu => json!({"workflow_key": own_workflow(UNKNOWN_TO_NOVU, enterprise)}),
            Self::TakenBack => json!({"notification_status": "RETRACTED", "retraction_reason": "a person's"}),
            Self::Muted => json!({"tags": ["promo"]}),
            Self::Raised => json!({"tags": ["vip"]}),
            Self::Quiet | Self::Emergency | Self::Assessment | Self::DrillOver | Self::NoFloor => json!({}),
        }
    }

    /// What stands in its payload besides the turn. The rules of the third and the fourth enterprise read it.
    fn payload(self, enterprise: &str) -> Value {
        match self {
            Self::Quiet => json!({"severity": "low"}),
            Self::Assessment => json!({"kind": "assessment", "building": "HQ", "dueBy": "2099-01-01T00:00:00Z"}),
            Self::DrillOver => json!({"kind": "drill", "building": "HQ", "startsAt": "2020-01-01T00:00:00Z"}),
            Self::NoFloor => json!({"kind": "emergency", "building": "HQ"}),
            _ if enterprise == ENTERPRISES[2] => json!({"severity": "high"}),
            _ if enterprise == ENTERPRISES[3] => json!({"kind": "emergency", "building": "HQ", "floor": 3}),
            _ => json!({}),
        }
    }

    fn end(self) -> End {
        match self {
            Self::Plain | Self::Soon | Self::Crowd | Self::Raised | Self::Emergency | Self::Assessment => End::Sent,
            Self::Draft | Self::Deactivated | Self::Far | Self::NoFloor => End::Untouched("PENDING"),
            Self::NoWorkflow => End::Failed("no published workflow"),
            Self::UnknownToNovu => End::Failed("workflow_not_found"),
            Self::TakenBack => End::Untouched("RETRACTED"),
            Self::Muted => End::Retracted("rule: the desk drops tag promo"),
            Self::DrillOver => End::Retracted("rule: the drill has begun already"),
            Self::Quiet => End::Deferred,
        }
    }
}

/// Notifications that were put into the tables, and the oracle.
pub(crate) struct Run<'h> {
    house: &'h House,
    kinds: HashMap<i64, Kind>,
    quiet: Quiet,
}

impl<'h> Run<'h> {
    /// Binds the three samples to three of the five enterprises.
    pub(crate) fn new(house: &'h House) -> Self {
        for enterprise in ENTERPRISES {
            house.state().set_workflow(&own_workflow(UNKNOWN_TO_NOVU, enterprise), WorkflowState::Unknown);
        }
        for key in ["fire-emergency", "fire-assessment"] {
            let workflow = json!({"name": key, "workflow_key": key, "workflow_type": "STATIC",
                "publish_status": "PUBLISH", "enterprise_id": ENTERPRISES[3]});
            house.state().insert("ent_notification_workflow", &workflow).unwrap();
        }
        let quiet = Quiet::around_now();
        bind(house, &[priority_desk(), quiet_hours(&quiet.from, &quiet.to()), fire_safety()]);
        Self { house, kinds: HashMap::new(), quiet }
    }

    /// Puts the notifications of these turns into the tables, one transaction each.
    pub(crate) fn insert(&mut self, turns: std::ops::Range<usize>) {
        for turn in turns {
            let (kind, enterprise) = (Kind::of(turn), ENTERPRISES[turn % ENTERPRISES.len()]);
            let number = u64::try_from(turn).unwrap();
            let mut columns = kind.columns(number, enterprise);
            columns["enterprise_id"] = enterprise.into();
            columns["payload"] = kind.payload(enterprise);
            columns["payload"]["turn"] = turn.into();
            columns["payload"]["text"] = format!("{PLANTED} {turn}").into();
            self.kinds.insert(self.house.insert(columns), kind);
        }
    }

    /// Waits until every notification that must end has ended.
    pub(crate) async fn ended(&self) {
        until_within(RUN_PATIENCE, "every notification has ended", async || {
            let rows = self.rows();
            let open: Vec<&Value> = rows.iter().filter(|row| !self.is_over(row)).collect();
            if open.is_empty() {
                return Ok(());
            }
            Err(format!(
                "{} of {} have not; the first, a {:?}, is {}",
                open.len(),
                rows.len(),
                self.kind(open[0]),
                open[0]
            ))
        })
        .await;
    }

    /// Whether what must come of it has come.
    fn is_over(&self, row: &Value) -> bool {
        match self.kind(row).end() {
            End::Untouched(_) => true,
            End::Deferred => row["error_details"]["deferrals"] == 1,
            End::Sent | End::Failed(_) | End::Retracted(_) => {
                matches!(row["notification_status"].as_str(), Some("SENT" | "FAILED" | "RETRACTED"))
            }
        }
    }

    /// Holds every row and every delivery against what must have come of them.
    pub(crate) fn judge(&self) {
        self.judge_deliveries(self.house.state().deliveries(0));
    }

    /// The same where Novu takes a call that is repeated for a new one. Answers how many were; each must be named on its row.
    pub(crate) fn judge_but_for_doubles(&self) -> usize {
        let mut seen = HashSet::new();
        let all = self.house.state().deliveries(0);
        let (once, again): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|delivery| seen.insert(delivery.transaction_id.clone()));
        let rows = self.rows();
        for delivery in &again {
            let id = &delivery.transaction_id;
            let names =
                |row: &&Value| row["transaction_id"].as_str().is_some_and(|job| id.starts_with(&format!("{job}-m")));
            let row = rows.iter().find(names).unwrap_or_else(|| panic!("{id} is of no row"));
            let uncertain = row["error_details"]["uncertain"].as_array().cloned().unwrap_or_default();
            assert!(uncertain.contains(&Value::from(id.as_str())), "sent twice and not named: {id} of {row}");
        }
        self.judge_deliveries(once);
        again.len()
    }

    fn judge_deliveries(&self, all: Vec<Delivery>) {
        let mut deliveries: HashMap<String, Vec<Delivery>> = HashMap::new();
        for delivery in all {
            let (job, _message_and_chunk) = delivery.transaction_id.rsplit_once("-m").unwrap();
            deliveries.entry(job.to_owned()).or_default().push(delivery);
        }
        for row in self.rows() {
            let job = row["transaction_id"].as_str().unwrap_or_default();
            self.judge_row(&row, &deliveries.remove(job).unwrap_or_default());
        }
        assert!(deliveries.is_empty(), "sent for no row's last job: {deliveries:?}");
    }

    fn judge_row(&self, row: &Value, deliveries: &[Delivery]) {
        let (kind, status) = (self.kind(row), row["notification_status"].as_str().unwrap());
        let reason = |column: &str| row[column].as_str().unwrap_or_default().to_owned();
        match kind.end() {
            End::Sent => {
                assert_eq!(status, "SENT", "{kind:?}: {row}");
                assert_delivered_once(row, deliveries);
                deliveries.iter().for_each(|delivery| assert_is_of(row, kind, delivery));
                return;
            }
            End::Failed(why) => {
                assert_eq!(status, "FAILED", "{kind:?}: {row}");
                let told = row["error_details"]["error"].as_str().unwrap_or_default();
                assert!(told.contains(why), "{kind:?} failed for another reason: {told}");
            }
            End::Untouched(as_it_was) => {
                assert_eq!(status, as_it_was, "{kind:?}: {row}");
                assert_eq!(row["updated_at"], row["created_at"], "{kind:?} was written to: {row}");
            }
            End::Retracted(why) => {
                assert_eq!((status, reason("retraction_reason").as_str()), ("RETRACTED", why), "{kind:?}: {row}");
            }
            End::Deferred => {
                let until = instant(&row["scheduled_for"]);
                assert_eq!((status, until), ("PENDING", self.quiet.until), "{kind:?}: {row}");
                let why = format!("quiet hours until {} in UTC", self.quiet.to());
                assert_eq!(row["error_details"]["deferred"], why, "{kind:?}: {row}");
            }
        }
        assert_eq!(deliveries, [], "{kind:?} was sent: {row}");
    }

    fn rows(&self) -> Vec<Value> {
        self.house.state().rows(TABLE, &[]).unwrap()
    }

    fn kind(&self, row: &Value) -> Kind {
        self.kinds[&row["id"].as_i64().unwrap()]
    }
}

fn instant(text: &Value) -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::parse_from_rfc3339(text.as_str().unwrap()).unwrap().to_utc()
}

/// What Novu got is what stands on the row, mapped by the enterprise's rules, in time and from its own enterprise.
fn assert_is_of(row: &Value, kind: Kind, delivery: &Delivery) {
    let (mut payload, body): (Value, Value) = (row["payload"].clone(), serde_json::from_str(&delivery.body).unwrap());
    if row["enterprise_id"] == ENTERPRISES[3] {
        let (workflow, title, overrides) = match kind {
            Kind::Assessment => ("fire-assessment", "Fire assessment of HQ until 2099-01-01T00:00:00Z", Value::Null),
            _ => {
                let overrides = json!({"channels": {"sms": {"content": "Leave."}}, "severity": "high"});
                ("fire-emergency", "FIRE in HQ, floor 3", overrides)
            }
        };
        payload["title"] = title.into();
        assert_eq!((delivery.workflow.as_str(), &body["overrides"]), (workflow, &overrides), "{row}");
    } else {
        let enterprise = row["enterprise_id"].as_str().unwrap();
        assert_eq!(delivery.workflow, own_workflow("welcome", enterprise), "{row}");
    }
    assert_eq!(delivery.payload, payload);
    assert_eq!(delivery.enterprise_id.unwrap().to_string(), row["enterprise_id"].as_str().unwrap());
    assert!(delivery.recipients.len() <= 100, "Novu takes 100 at most: {}", delivery.recipients.len());
    if !row["scheduled_for"].is_null() {
        let due = instant(&row["scheduled_for"]);
        assert!(delivery.at_ms >= due.timestamp_millis(), "sent before its time: {row}");
    }
}
