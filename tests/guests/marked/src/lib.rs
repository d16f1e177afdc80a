//! A rule that says which version of it decided.
//!
//! Its mark is sixteen bytes of the finished component, which a test overwrites to make another version of it, without a compiler. The
//! mark begins with what the version does: `good`, `trap`, `loop`, `bomb`, or `late`, which loops on whatever has a payload and so gets
//! past a trial. Each notification becomes two messages, and both carry the mark, and the mark by which this same decision let it in.

#![allow(unsafe_code, reason = "a component's exports are unsafe to name, and a mark must be read as it lies there")]

use exports::xnovu::rules::ruleset::{Event, Guest, Message, RuleError, Verdict};

wit_bindgen::generate!({ path: "../../../wit", world: "rules" });

use std::cell::RefCell;

thread_local! {
    /// The mark that admitted, in this instance.
    static ADMITTED: RefCell<String> = const { RefCell::new(String::new()) };
}

struct Marked;

export!(Marked);

#[used]
static MARK: [u8; 16] = *b"good-mark-000000";

/// The mark as it lies in memory: the compiler must not know it.
fn mark() -> String {
    // SAFETY: a static is there to be read.
    let mark = unsafe { std::ptr::read_volatile(&raw const MARK) };
    String::from_utf8_lossy(&mark).into_owned()
}

impl Guest for Marked {
    fn validate_config(_config: String) -> Result<(), String> {
        Ok(())
    }

    fn admit(event: Event) -> Result<Verdict, RuleError> {
        match &mark()[..4] {
            "trap" => panic!("on purpose"),
            "loop" => run_for_ever(),
            "late" if event.notification.payload != "{}" => run_for_ever(),
            "bomb" => eat(),
            _ => {}
        }
        ADMITTED.set(mark());
        Ok(Verdict::Deliver(None))
    }

    fn transform(event: Event) -> Result<Vec<Message>, RuleError> {
        let row = event.notification;
        let message = |part: u32| Message {
            workflow_key: row.workflow_key.clone(),
            recipients: row.recipients.clone(),
            payload: format!(
                "{{\"mark\":\"{}\",\"admitted\":\"{}\",\"part\":{part}}}",
                mark(),
                ADMITTED.with_borrow(String::clone)
            ),
            overrides: None,
            tenant: None,
            actor: None,
            extra: None,
        };
        Ok(vec![message(1), message(2)])
    }
}

fn run_for_ever() {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

/// Asks for memory without an end.
fn eat() {
    let mut eaten = Vec::new();
    loop {
        eaten.push(std::hint::black_box(Vec::<u8>::with_capacity(1 << 20)));
    }
}
