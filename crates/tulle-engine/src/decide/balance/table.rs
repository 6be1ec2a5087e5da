//! Tables from hashes to endpoints: the ketama ring, and Maglev.

use super::Host;
use crate::decide::hash::{murmur2, xxh64};
use crate::runtime::cluster::{LbPolicy, RingFunction};

/// Finds the endpoint of a hash.
#[derive(Debug)]
pub(super) enum Table {
    /// Points on a circle, sorted; an endpoint takes the arc before each of its points.
    Ring(Vec<(u64, u32)>),
    /// One endpoint for each remainder.
    Maglev(Vec<u32>),
}

impl Table {
    /// The table of a hashing policy; `None` for other policies. `members` are indices into `hosts`, at least one.
    pub(super) fn new(policy: LbPolicy, members: &[u32], hosts: &[Host]) -> Option<Self> {
        let weighted: Vec<(u32, String, f64)> = members
            .iter()
            .map(|index| {
                let endpoint = &hosts[*index as usize].endpoint;
                (*index, endpoint.address.to_string(), f64::from(endpoint.weight.max(1)))
            })
            .collect();
        match policy {
            LbPolicy::RingHash { min_size, max_size, hash } => {
                let place = match hash {
                    RingFunction::Xxh64 => |name: &[u8]| xxh64(name, 0),
                    RingFunction::Murmur2 => murmur2,
                };
                Some(Self::Ring(ring(&weighted, (min_size, max_size), place)))
            }
            LbPolicy::Maglev { table_size } => Some(Self::Maglev(maglev(&weighted, table_size))),
            _ => None,
        }
    }

    /// The endpoint of a hash; another one for another `attempt`.
    pub(super) fn find(&self, hash: u64, attempt: u32) -> u32 {
        match self {
            Self::Ring(points) => {
                let at = points.partition_point(|(point, _)| *point < hash) % points.len();
                // Later attempts walk on to the next endpoint on the circle.
                let first = points[at].1;
                let mut others: Vec<u32> = vec![first];
                for step in 1..points.len() {
                    if others.len() > attempt as usize {
                        break;
                    }
                    let next = points[(at + step) % points.len()].1;
                    if !others.contains(&next) {
                        others.push(next);
                    }
                }
                others[(attempt as usize).min(others.len() - 1)]
            }
            Self::Maglev(table) => {
                let hash = if attempt == 0 { hash } else { hash ^ u64::from(attempt).wrapping_neg() };
                table[usize::try_from(hash % table.len() as u64).unwrap_or(0)]
            }
        }
    }
}

/// Each endpoint gets points in proportion to its weight, at least one; the lightest decides how many there are in all.
fn ring(
    members: &[(u32, String, f64)],
    (min_size, max_size): (u64, u64),
    place: fn(&[u8]) -> u64,
) -> Vec<(u64, u32)> {
    let total: f64 = members.iter().map(|(_, _, weight)| weight).sum();
    let lightest = members.iter().map(|(_, _, weight)| weight / total).fold(1.0, f64::min);
    #[allow(clippy::cast_precision_loss, reason = "sizes are limited to 8 Mi")]
    let (min, max) = (min_size as f64, max_size as f64);
    let scale = ((lightest * min).ceil() / lightest).min(max);
    let mut points = Vec::new();
    let (mut current, mut target) = (0.0, 0.0);
    for (index, name, weight) in members {
        target += scale * weight / total;
        let mut number = 0u32;
        while current < target || number == 0 {
            points.push((place(format!("{name}_{number}").as_bytes()), *index));
            number += 1;
            current += 1.0;
        }
    }
    points.sort_unstable();
    points
}

/// Every endpoint takes slots in an order of its own, turn by turn; heavier ones have more turns.
fn maglev(members: &[(u32, String, f64)], size: u64) -> Vec<u32> {
    const FREE: u32 = u32::MAX;
    let heaviest = members.iter().map(|(_, _, weight)| *weight).fold(0.0, f64::max);
    // Who comes first wins a slot that several want: Envoy goes by the text of the addresses, not by the order of configuration.
    let mut members: Vec<_> = members.iter().collect();
    members.sort_by(|a, b| a.1.cmp(&b.1));
    let mut builders: Vec<(u32, u64, u64, u64, f64, f64)> = members
        .iter()
        .map(|(index, name, weight)| {
            let offset = xxh64(name.as_bytes(), 0) % size;
            let skip = xxh64(name.as_bytes(), 1) % (size - 1) + 1;
            (*index, offset, skip, 0, *weight, 0.0)
        })
        .collect();
    let slots = usize::try_from(size).unwrap_or(usize::MAX);
    let mut table = vec![FREE; slots];
    let (mut taken, mut turn) = (0, 1.0);
    while taken < slots {
        for (index, offset, skip, next, weight, target) in &mut builders {
            if taken == slots {
                break;
            }
            if turn * *weight < *target {
                continue;
            }
            *target += heaviest;
            loop {
                let slot = (u128::from(*offset) + u128::from(*skip) * u128::from(*next)) % u128::from(size);
                *next += 1;
                let slot = usize::try_from(slot).unwrap_or(0);
                if table[slot] == FREE {
                    table[slot] = *index;
                    taken += 1;
                    break;
                }
            }
        }
        turn += 1.0;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_maglev_table_does_not_depend_on_the_order_of_configuration() {
        let mut members: Vec<(u32, String, f64)> =
            (0..6).map(|i| (i, format!("10.0.0.{i}:80"), f64::from(i + 1))).collect();
        let table = maglev(&members, 251);
        members.reverse();
        assert_eq!(maglev(&members, 251), table);
        members.swap(1, 4);
        assert_eq!(maglev(&members, 251), table);
    }
}
