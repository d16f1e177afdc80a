//! Times the whole path: rows in the stand-in's tables, daemon and workers as processes, a real Redis, the stand-in's Novu.
//!
//! Owns the load and the arithmetic. The load of every latency is open: rows are put at their times, whatever has become of those
//! before. Prints figures; judges nothing but that what was put was delivered, once and by one version of its rules.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench that cannot go on should say where")]
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock and its own arguments")]

mod figures;
mod house;
mod reloads;

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use figures::Figures;
use house::{ENTERPRISES, House, SWEEP, delay_ms, row};

#[tokio::main]
async fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let quick = std::env::args().any(|argument| argument == "--quick");
    whole_path(if quick { 4_000 } else { 10_000 }, Duration::from_secs(if quick { 5 } else { 15 })).await;
    reloads::under_load(if quick { 25 } else { 100 }).await;
}

/// The path with the sample rules and one worker.
async fn whole_path(count: u64, lasting: Duration) {
    const ROUNDS: usize = 3;
    let house = House::open(&house::root().join("plugins"), 1).await;
    // Both processes have loaded their plugins and connected once the first rows are through.
    throughput(&house, 400, &mut Figures::default()).await;
    let mut figures = Figures::default();
    for _ in 0..ROUNDS {
        throughput(&house, count, &mut figures).await;
        latency(&house, 200, lasting, &mut figures).await;
        for by_sweep in [false, true] {
            punctuality(&house, 500, lasting, by_sweep, &mut figures).await;
        }
    }
    for process in &house.processes {
        figures.add(format!("{} resident at its highest, MB", process.name), process.memory_mb());
    }
    figures.print();
}

/// A backlog put at once: notifications per second until the last is delivered.
async fn throughput(house: &House, count: u64, figures: &mut Figures) {
    let (before, cpu_before) = (house.delivered().await, house.cpu());
    let started = Instant::now();
    for enterprise in 0..ENTERPRISES.len() {
        let rows: Vec<Value> = (0..count / 4).map(|n| row(enterprise, &format!("backlog {before} {n}"))).collect();
        house.post("admin/bulk", &json!({"table": "ent_notification", "rows": rows})).await;
    }
    let wanted = before + count / 4 * 4;
    house.until("the backlog is delivered", async |house| house.delivered().await >= wanted).await;
    let took = started.elapsed();
    figures.add(format!("backlog of {count}, notifications/s"), (wanted - before) as f64 / took.as_secs_f64());
    for ((process, before), after) in house.processes.iter().zip(cpu_before).zip(house.cpu()) {
        let micros = (after - before).as_secs_f64() * 1e6 / count as f64;
        figures.add(format!("{} CPU a notification, µs", process.name), micros);
    }
}

/// Rows put at a steady rate: from the commit of each to its acceptance by Novu.
async fn latency(house: &House, rate: u32, lasting: Duration, figures: &mut Figures) {
    let before = house.delivered().await;
    let row = |n: u64| row(usize::try_from(n % 4).unwrap(), &format!("steady {before} {n}"));
    let rows = house.put_steadily(rate, lasting, row).await;
    let wanted = before + rows.len() as u64;
    house.until("all are delivered", async |house| house.delivered().await >= wanted).await;
    let what = format!("commit to Novu at {rate}/s for {} s, ms", lasting.as_secs());
    figures.add_quantiles(&what, delays(house, before, rows).await);
}

/// Rows that fall due one by one: from the time of each to its acceptance by Novu. With `by_sweep`, Realtime loses their events.
async fn punctuality(house: &House, count: u32, lasting: Duration, by_sweep: bool, figures: &mut Figures) {
    let before = house.delivered().await;
    if by_sweep {
        house.post("admin/faults", &json!({"realtime": {"discard_events": count}})).await;
    }
    // By then a round of the sweep has found them.
    let first = Utc::now() + SWEEP * 3;
    let due = |n: u32| first + lasting / count * n;
    let rows: Vec<Value> = (0..count)
        .map(|n| {
            let mut row = row(usize::try_from(n % 4).unwrap(), &format!("due {before} {n}"));
            row["scheduled_for"] = due(n).to_rfc3339().into();
            row
        })
        .collect();
    let inserted = house.post("admin/bulk", &json!({"table": "ent_notification", "rows": rows})).await;
    let first_id = inserted["first_id"].as_u64().unwrap();
    house.until("all are delivered", async |house| house.delivered().await >= before + u64::from(count)).await;
    house.post("admin/faults", &json!({"realtime": {"discard_events": 0}})).await;
    let what = format!("due to Novu, {count} rows heard of by {}, ms", if by_sweep { "sweep" } else { "Realtime" });
    let times = (0..count).map(|n| (first_id + u64::from(n), due(n))).collect();
    figures.add_quantiles(&what, delays(house, before, times).await);
}

/// Milliseconds from these times to the acceptance of the notifications with these ids; `before` were delivered before.
async fn delays(house: &House, before: u64, since: Vec<(u64, DateTime<Utc>)>) -> Vec<f64> {
    let deliveries = house.deliveries(before).await;
    since.into_iter().map(|(id, time)| delay_ms(time, &deliveries[&id])).collect()
}
