//! Acts only a component with a standard library's WASI can do.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::{Duration, Instant, SystemTime};

use crate::number;
use crate::xnovu::rules::log::{self, Level};

/// Does what the name says and logs what it saw; an unknown name panics.
pub(crate) fn perform(name: &str, argument: &str) {
    match name {
        "print" => {
            for line in 0..number(argument) {
                println!("line {line}");
            }
        }
        "sleep" => std::thread::sleep(Duration::from_millis(number(argument) as u64)),
        "exit" => std::process::exit(0),
        "clock" => {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            say(&format!("{} ms, {} ns since", now.as_millis(), Instant::now().elapsed().as_nanos()));
        }
        "random" => say(&RandomState::new().hash_one(0_u8).to_string()),
        "flood-random" => drop(wasip2::random::random::get_random_bytes(u64::MAX)),
        "environment" => {
            say(&format!("{:?} {:?}", std::env::vars().collect::<Vec<_>>(), std::env::args().collect::<Vec<_>>()))
        }
        "input" => {
            let mut line = String::new();
            say(&format!("{:?} {line:?}", std::io::stdin().read_line(&mut line)));
        }
        "handles" => {
            for _ in 0..number(argument) {
                std::mem::forget(wasip2::cli::stdout::get_stdout());
            }
        }
        #[cfg(feature = "files")]
        "file" => say(&format!("{:?}", std::fs::read(argument))),
        _ => panic!("unknown act {name:?}"),
    }
}

fn say(text: &str) {
    log::write(Level::Info, text);
}
