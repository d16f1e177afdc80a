//! Random numbers that follow from the event's seed: a retry draws the same ones. Not fit for secrets, and a rule has none.

use wasmtime::bail;

use crate::bindings::subset::wasi::random::{insecure, insecure_seed, random};
use crate::instance::State;

/// Most random bytes one call may ask for.
const BYTES_MAX: u64 = 64 * 1024;

/// SplitMix64: small, well distributed, and the same everywhere.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u32) -> Self {
        Self(seed.into())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        if len > BYTES_MAX {
            bail!("it asked for {len} random bytes; at most {BYTES_MAX} are given at once");
        }
        let len = usize::try_from(len)?;
        let mut bytes = Vec::with_capacity(len.next_multiple_of(8));
        while bytes.len() < len {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(len);
        Ok(bytes)
    }
}

impl random::Host for State {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random.bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.random.next())
    }
}

impl insecure::Host for State {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random.bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.random.next())
    }
}

impl insecure_seed::Host for State {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.random.next(), self.random.next()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_its_numbers_again() {
        assert_eq!(Random::new(7).bytes(11).unwrap(), Random::new(7).bytes(11).unwrap());
        assert_ne!(Random::new(7).bytes(11).unwrap(), Random::new(8).bytes(11).unwrap());
        assert_eq!(Random::new(7).bytes(11).unwrap().len(), 11);
    }

    #[test]
    fn a_flood_is_refused_before_it_is_made() {
        assert!(Random::new(7).bytes(BYTES_MAX).is_ok());
        assert!(Random::new(7).bytes(u64::MAX).is_err());
    }

    #[test]
    fn the_first_number_of_seed_zero_is_splitmix64s() {
        assert_eq!(Random::new(0).next(), 0xe220_a839_7b1d_cdaf);
    }
}
