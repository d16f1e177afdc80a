//! Which enterprise is told of on which channel of which socket.
//!
//! Owns the split, as a pure function. Ids that are no UUIDs never share a channel with ids that are: where the column is a UUID, the
//! server refuses the whole channel because of one of them.

use xnovu_domain::EnterpriseId;

use crate::source::phoenix::FILTER_VALUES_MAX;

/// Channels one socket starts with.
const CHANNELS_PLANNED: usize = 45;

/// Channels one socket may have; the server's limit is 100. The room above what was planned is for channels that had to be split.
pub(super) const CHANNELS_MAX: usize = 90;

/// The enterprises of one channel.
pub(super) type Group = Vec<EnterpriseId>;

/// The channels of each socket.
pub(super) fn sockets(enterprises: &[EnterpriseId]) -> Vec<Vec<Group>> {
    let groups: Vec<Group> = EnterpriseId::groups(enterprises, FILTER_VALUES_MAX);
    groups.chunks(CHANNELS_PLANNED).map(<[_]>::to_vec).collect()
}

/// A group in smaller ones, so that only the bad one suffers: each enterprise alone, or halves where there is little room. None where
/// there is no room at all, or nothing to split.
pub(super) fn split(group: &[EnterpriseId], room: usize) -> Option<Vec<Group>> {
    let more = group.len().checked_sub(1).filter(|more| *more > 0)?;
    let size = match room {
        0 => return None,
        room if more <= room => 1,
        _ => group.len().div_ceil(2),
    };
    Some(group.chunks(size).map(<[_]>::to_vec).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: usize) -> Vec<EnterpriseId> {
        (0..count).map(|n| format!("{n:08x}-1111-4111-8111-111111111111").parse().unwrap()).collect()
    }

    #[test]
    fn no_filter_and_no_socket_exceeds_its_limit_and_everybody_is_there() {
        for count in [0, 1, 20, 21, 900, 901, 5_000] {
            let all = ids(count);
            let sockets = sockets(&all);
            assert!(sockets.iter().all(|channels| (1..=CHANNELS_PLANNED).contains(&channels.len())));
            assert!(sockets.iter().flatten().all(|group| (1..=FILTER_VALUES_MAX).contains(&group.len())));
            assert_eq!(sockets.concat().concat(), all);
        }
    }

    #[test]
    fn ids_that_are_no_uuids_keep_to_themselves() {
        let mut mixed = ids(2);
        mixed.insert(1, "ent1".parse().unwrap());
        let sizes: Vec<usize> = sockets(&mixed)[0].iter().map(Vec::len).collect();
        assert_eq!(sizes, [2, 1]);
    }

    #[test]
    fn a_group_is_split_as_far_as_there_is_room() {
        let sizes =
            |count, room| split(&ids(count), room).map(|groups| groups.iter().map(Vec::len).collect::<Vec<_>>());
        assert_eq!(sizes(4, 45), Some(vec![1, 1, 1, 1]));
        assert_eq!(sizes(4, 3), Some(vec![1, 1, 1, 1]));
        assert_eq!(sizes(5, 2), Some(vec![3, 2]));
        assert_eq!(sizes(4, 0), None);
        assert_eq!(sizes(1, 45), None);
    }
}
