//! Endpoints among which a balancer chooses: one priority, one kind of health.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::Host;
use super::slow_start::Warming;
use super::table::Table;
use crate::runtime::cluster::LbPolicy;
use crate::runtime::endpoint::EndpointSet;

/// Endpoints by index, with what their balancer remembers.
#[derive(Debug, Default)]
pub(super) struct Pool {
    /// Localities (one, without locality weights) with their effective weights.
    groups: Vec<Group>,
    total: u64,
}

#[derive(Debug)]
struct Group {
    weight: u64,
    members: Vec<u32>,
    /// Running sums of the members' weights; empty if they are equal.
    sums: Vec<u64>,
    next: usize,
    schedule: BinaryHeap<Slot>,
    /// Made when a hashing policy first asks for it.
    table: Option<Table>,
}

/// One choice: who there is, and what decides beside chance.
pub(super) struct Turn<'a> {
    pub(super) hosts: &'a [Host],
    /// The hash of the request, and which try this is.
    pub(super) hash: Option<(u64, u32)>,
    pub(super) warming: Option<Warming>,
}

/// When a member is next, earliest first (earliest deadline first scheduling).
#[derive(Debug)]
struct Slot {
    deadline: f64,
    order: u64,
    member: u32,
    weight: f64,
}

impl PartialEq for Slot {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Slot {}
impl PartialOrd for Slot {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Slot {
    fn cmp(&self, other: &Self) -> Ordering {
        other.deadline.total_cmp(&self.deadline).then_with(|| other.order.cmp(&self.order))
    }
}

impl Pool {
    /// `indices` are the members. With `by_locality`, localities are chosen by weight first, less what they lost.
    pub(super) fn new(
        indices: Vec<u32>,
        hosts: &[Host],
        set: &EndpointSet,
        by_locality: bool,
        seed: u64,
    ) -> Self {
        let mut groups = Vec::new();
        if by_locality {
            let chosen: std::collections::HashSet<u32> = indices.iter().copied().collect();
            for locality in set.localities.iter().filter(|l| l.weight > 0) {
                let members: Vec<u32> =
                    locality.endpoints.iter().copied().filter(|i| chosen.contains(i)).collect();
                if !members.is_empty() {
                    // Availability times the overprovisioning factor, at most all of it.
                    let share = (members.len() as u64 * u64::from(set.overprovisioning_factor) * 100
                        / locality.endpoints.len().max(1) as u64)
                        .min(10_000);
                    groups.push(Group::new(u64::from(locality.weight) * share, members, hosts, seed));
                }
            }
        }
        if groups.is_empty() && !indices.is_empty() {
            groups.push(Group::new(1, indices, hosts, seed));
        }
        let total = groups.iter().map(|g| g.weight).sum();
        Self { groups, total }
    }

    /// How many members there are.
    pub(super) fn len(&self) -> usize {
        self.groups.iter().map(|g| g.members.len()).sum()
    }

    pub(super) fn pick(
        &mut self,
        policy: LbPolicy,
        turn: &Turn<'_>,
        random: &mut dyn FnMut() -> u64,
    ) -> Option<u32> {
        let Turn { hosts, hash, warming: _ } = *turn;
        let group = match self.groups.len() {
            0 => return None,
            1 => &mut self.groups[0],
            _ => {
                let mut at =
                    hash.map_or_else(&mut *random, |(hash, _)| hash.rotate_left(32)) % self.total.max(1);
                let found = self.groups.iter().position(|g| {
                    let hit = at < g.weight;
                    at = at.saturating_sub(g.weight);
                    hit
                });
                &mut self.groups[found.unwrap_or(0)]
            }
        };
        match policy {
            LbPolicy::RoundRobin => Some(group.round_robin(turn)),
            LbPolicy::LeastRequest { choices, .. } => Some(group.least_request(choices, turn, random)),
            LbPolicy::RingHash { .. } | LbPolicy::Maglev { .. } => match hash {
                Some((hash, attempt)) => Some(group.by_hash(policy, hosts, hash, attempt)),
                None => Some(group.random(random())),
            },
            LbPolicy::Random | LbPolicy::ClusterProvided => Some(group.random(random())),
        }
    }
}

impl Group {
    fn new(weight: u64, members: Vec<u32>, hosts: &[Host], seed: u64) -> Self {
        let weight_of = |member: &u32| hosts[*member as usize].endpoint.weight.max(1);
        let equal = members.windows(2).all(|pair| weight_of(&pair[0]) == weight_of(&pair[1]));
        let mut group = Self {
            weight,
            sums: Vec::new(),
            next: usize::try_from(seed % members.len().max(1) as u64).unwrap_or(0),
            schedule: BinaryHeap::new(),
            table: None,
            members,
        };
        if !equal {
            let mut sum = 0;
            for (order, member) in (0..).zip(&group.members) {
                let weight = weight_of(member);
                sum += u64::from(weight);
                group.sums.push(sum);
                let weight = f64::from(weight);
                group.schedule.push(Slot { deadline: 1.0 / weight, order, member: *member, weight });
            }
        }
        group
    }

    fn round_robin(&mut self, turn: &Turn<'_>) -> u32 {
        if self.schedule.is_empty() && turn.warming.is_some() {
            self.schedule = self.equal_slots();
        }
        let Some(mut slot) = self.schedule.pop() else {
            let member = self.members[self.next % self.members.len()];
            self.next = (self.next + 1) % self.members.len();
            return member;
        };
        let member = slot.member;
        let part = turn.warming.map_or(1.0, |w| w.part(&turn.hosts[member as usize]));
        slot.deadline += 1.0 / (slot.weight * part);
        self.schedule.push(slot);
        member
    }

    /// Slots of members of equal weight, in the order in which they would have had their turns.
    fn equal_slots(&self) -> BinaryHeap<Slot> {
        let turned = self.members[self.next..].iter().chain(&self.members[..self.next]);
        let slot = |(order, member): (u64, &u32)| Slot { deadline: 1.0, order, member: *member, weight: 1.0 };
        (0..).zip(turned).map(slot).collect()
    }

    /// The member of a hash.
    fn by_hash(&mut self, policy: LbPolicy, hosts: &[Host], hash: u64, attempt: u32) -> u32 {
        if self.table.is_none() {
            self.table = Table::new(policy, &self.members, hosts);
        }
        match &self.table {
            Some(table) => table.find(hash, attempt),
            None => self.random(hash),
        }
    }

    /// A member by weight.
    fn random(&self, random: u64) -> u32 {
        match self.sums.last() {
            None => self.members[usize::try_from(random % self.members.len() as u64).unwrap_or(0)],
            Some(total) => {
                let at = random % total;
                self.members[self.sums.partition_point(|sum| *sum <= at)]
            }
        }
    }

    /// Of some members drawn by weight, the one with the fewest active requests for its weight; the first of equals.
    fn least_request(&self, choices: u32, turn: &Turn<'_>, random: &mut dyn FnMut() -> u64) -> u32 {
        if self.members.len() == 1 {
            return self.members[0];
        }
        let load = |member: u32| {
            let host = &turn.hosts[member as usize];
            (u64::from(host.active()), u64::from(host.endpoint.weight.max(1)))
        };
        let mut best = self.draw(turn, random);
        for _ in 1..choices {
            let other = self.draw(turn, random);
            let ((busy, weight), (other_busy, other_weight)) = (load(best), load(other));
            if other_busy * weight < busy * other_weight {
                best = other;
            }
        }
        best
    }

    /// A member by the weight that it has now: one that is new is put back, the more often the newer it is.
    fn draw(&self, turn: &Turn<'_>, random: &mut dyn FnMut() -> u64) -> u32 {
        /// So often at most; where all are new, a draw must end.
        const DRAWS: u32 = 64;
        let mut member = self.random(random());
        let Some(warming) = &turn.warming else { return member };
        #[allow(clippy::cast_precision_loss, reason = "a uniform number needs no more than 53 bits")]
        for _ in 0..DRAWS {
            if (random() >> 11) as f64 / (1u64 << 53) as f64 <= warming.part(&turn.hosts[member as usize]) {
                break;
            }
            member = self.random(random());
        }
        member
    }
}
