//! Acts that give no answer of their own: attacks, and calls of the host.

use crate::exports::xnovu::rules::ruleset::Event;
use crate::number;
use crate::xnovu::rules::log::{self, Level};

/// Does what the name says; an unknown name panics, so that a test with a typing error fails.
pub(crate) fn perform(name: &str, argument: &str) {
    match name {
        "loop" => forever(),
        "recurse" => drop(recurse(number(argument) as u64)),
        "panic" => panic!("{argument}"),
        "grow" => grow(number(argument)),
        "try-grow" => {
            let mut bytes: Vec<u8> = Vec::new();
            assert!(bytes.try_reserve_exact(number(argument)).is_err(), "the host gave what it should not");
        }
        "log" => {
            let (lines, bytes) = argument.split_once('x').unwrap_or((argument, "1"));
            for _ in 0..number(lines) {
                log::write(Level::Info, &"l".repeat(number(bytes)));
            }
        }
        "burn" => {
            let mut sum = 0_u64;
            for step in 0..number(argument) as u64 {
                sum = std::hint::black_box(sum.wrapping_add(step));
            }
        }
        #[cfg(target_os = "wasi")]
        _ => crate::wasi::perform(name, argument),
        #[cfg(not(target_os = "wasi"))]
        _ => panic!("unknown act {name:?}"),
    }
}

/// Everything the event holds, so that a test can see what arrived.
pub(crate) fn seen(event: &Event) -> String {
    let row = &event.notification;
    format!(
        "{:?} now={} seed={} id={} enterprise={} name={} workflow={} category={:?} rule={:?} recipients={:?} payload={} facts={}",
        event.origin,
        event.now,
        event.seed,
        row.id,
        row.enterprise_id,
        row.name,
        row.workflow_key,
        row.category,
        row.rule_id,
        row.recipients,
        row.payload,
        event.facts,
    )
}

fn forever() {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

#[allow(unconditional_recursion, reason = "that is the attack")]
#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 16]);
    recurse(depth + 1).wrapping_add(frame[(depth % 16) as usize])
}

/// Takes that many bytes, a megabyte at a time, and keeps them.
fn grow(bytes: usize) {
    const STEP: usize = 1 << 20;
    let mut kept = Vec::new();
    while kept.len() * STEP < bytes {
        kept.push(std::hint::black_box(vec![1_u8; STEP]));
    }
    std::hint::black_box(&kept);
}
