//! Which address families a service has: what Kubernetes' API server decides when one is written
//! (`ipFamilyPolicy`, `ipFamilies`, `clusterIPs`).

use std::net::IpAddr;

use tulle_api::kubernetes::{IpFamily, IpFamilyPolicy, Service, ServiceType};
use tulle_store::Refusal;

use crate::net::{Addresses, Family};

/// The families that a stored service has, in its order; those of its addresses where it does not say.
pub fn families(service: &Service) -> Vec<Family> {
    if !service.ip_families.is_empty() {
        return service.ip_families.iter().map(|f| Family::from(*f)).collect();
    }
    let of_addresses: Vec<Family> = cluster_ips(service).into_iter().map(Family::of).collect();
    if of_addresses.is_empty() { vec![Family::V4] } else { of_addresses }
}

/// The cluster addresses of a service, in its order; none for a headless one.
pub fn cluster_ips(service: &Service) -> Vec<IpAddr> {
    let mut all: Vec<&String> = service.cluster_ips.iter().collect();
    if all.is_empty() {
        all.push(&service.cluster_ip);
    }
    all.into_iter().filter_map(|ip| ip.parse().ok()).collect()
}

/// Fills in `ipFamilies` and `ipFamilyPolicy` of a service that is being written over `old`, in a mesh with these
/// addresses. One that says nothing has one family: that which it had, else the mesh's first.
///
/// # Errors
/// What Kubernetes refuses as well: families that the mesh does not have, two of them under SingleStack, or another first
/// one than before.
pub(super) fn decide(new: &mut Service, old: Option<&Service>, mesh: Addresses) -> Result<(), Refusal> {
    let old = old.filter(|o| o.kind_of_service() != ServiceType::ExternalName);
    let policy = new.ip_family_policy;
    let both = policy.is_some_and(|p| p != IpFamilyPolicy::SingleStack);
    if !both && old.is_some_and(|o| o.ip_families.len() == 2 && o.ip_families == new.ip_families) {
        // Back to one family without saying which address goes: the second one does.
        new.ip_families.truncate(1);
        new.cluster_ips.truncate(1);
    }
    let mut all: Vec<Family> = new.ip_families.iter().map(|f| Family::from(*f)).collect();
    for ip in cluster_ips(new).into_iter().skip(all.len()) {
        all.push(Family::of(ip));
    }
    let kept = old.and_then(|o| families(o).first().copied()).filter(|f| mesh.of(*f).is_some());
    if new.is_headless() && new.selector.is_empty() {
        // Whose endpoints are written by hand: the mesh need not have their families.
        all.extend(kept.filter(|_| all.is_empty()));
        if all.is_empty() {
            all.push(mesh.first.family());
        }
        if policy != Some(IpFamilyPolicy::SingleStack) && all.len() == 1 {
            all.extend(Family::ALL.into_iter().find(|f| *f != all[0]));
        }
        new.ip_family_policy = Some(policy.unwrap_or(IpFamilyPolicy::RequireDualStack));
        return finish(new, &all);
    }
    if !both && all.len() > 1 {
        return Err(Refusal::OneFamily);
    }
    if policy == Some(IpFamilyPolicy::RequireDualStack) && mesh.second.is_none() {
        return Err(Refusal::NoDualStack);
    }
    if all.iter().any(|f| mesh.of(*f).is_none()) {
        return Err(Refusal::NoSuchFamily);
    }
    if all.is_empty() {
        all.push(kept.unwrap_or(mesh.first.family()));
    }
    if both && all.len() == 1 {
        all.extend(mesh.all().map(crate::net::Network::family).find(|f| *f != all[0]));
    }
    if kept.is_some_and(|f| f != all[0]) {
        return Err(Refusal::FirstFamily);
    }
    new.ip_family_policy = Some(policy.unwrap_or(IpFamilyPolicy::SingleStack));
    finish(new, &all)
}

fn finish(new: &mut Service, all: &[Family]) -> Result<(), Refusal> {
    new.ip_families = all.iter().map(|f| IpFamily::from(*f)).collect();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Families;

    fn service(policy: &str, families: &[&str], ips: &[&str]) -> Service {
        let family = |name: &&str| if *name == "IPv6" { IpFamily::Ipv6 } else { IpFamily::Ipv4 };
        let all =
            [IpFamilyPolicy::SingleStack, IpFamilyPolicy::PreferDualStack, IpFamilyPolicy::RequireDualStack];
        Service {
            selector: [("app".to_owned(), "cart".to_owned())].into(),
            ip_family_policy: all.into_iter().find(|p| p.as_str() == policy),
            ip_families: families.iter().map(family).collect(),
            cluster_ip: ips.first().map_or_else(String::new, |ip| (*ip).to_owned()),
            cluster_ips: ips.iter().map(|ip| (*ip).to_owned()).collect(),
            ..Service::default()
        }
    }

    fn decided(mut new: Service, old: Option<&Service>, mesh: Families) -> Result<String, Refusal> {
        decide(&mut new, old, Addresses::new(mesh))?;
        let policy = new.ip_family_policy.map_or("", IpFamilyPolicy::as_str);
        let families: Vec<&str> = new.ip_families.iter().map(|f| f.as_str()).collect();
        Ok(format!("{policy} {}", families.join(",")))
    }

    #[test]
    fn what_is_left_open_is_filled_in_and_what_cannot_be_is_refused() {
        use Families::{Dual, V4, V6};
        const PREFER: &str = "PreferDualStack";
        const REQUIRE: &str = "RequireDualStack";
        for (mesh, policy, families, ips, wanted) in [
            (V4, "", &[][..], &[][..], Ok("SingleStack IPv4")),
            (V6, "", &[], &[], Ok("SingleStack IPv6")),
            (Dual, "", &[], &[], Ok("SingleStack IPv4")),
            (Dual, "", &["IPv6"], &[], Ok("SingleStack IPv6")),
            (Dual, PREFER, &[], &[], Ok("PreferDualStack IPv4,IPv6")),
            (Dual, PREFER, &["IPv6"], &[], Ok("PreferDualStack IPv6,IPv4")),
            (Dual, REQUIRE, &["IPv6", "IPv4"], &[], Ok("RequireDualStack IPv6,IPv4")),
            (Dual, "", &[], &["fd00::9"], Ok("SingleStack IPv6")),
            (Dual, PREFER, &[], &["fd00::9"], Ok("PreferDualStack IPv6,IPv4")),
            (V4, PREFER, &[], &[], Ok("PreferDualStack IPv4")),
            (V4, REQUIRE, &[], &[], Err(Refusal::NoDualStack)),
            (V4, "", &["IPv6"], &[], Err(Refusal::NoSuchFamily)),
            (V4, PREFER, &["IPv4", "IPv6"], &[], Err(Refusal::NoSuchFamily)),
            (V6, "", &[], &["10.96.0.9"], Err(Refusal::NoSuchFamily)),
            (Dual, "", &["IPv4", "IPv6"], &[], Err(Refusal::OneFamily)),
            (Dual, "SingleStack", &[], &["10.96.0.9", "fd00::9"], Err(Refusal::OneFamily)),
        ] {
            let got = decided(service(policy, families, ips), None, mesh);
            assert_eq!(got, wanted.map(str::to_owned), "{mesh:?} {policy} {families:?} {ips:?}");
        }
    }

    #[test]
    fn a_service_keeps_its_family_and_may_gain_or_lose_the_second() {
        let six = service("SingleStack", &["IPv6"], &["fd00:10:96::9"]);
        assert_eq!(decided(service("", &[], &[]), Some(&six), Families::Dual).unwrap(), "SingleStack IPv6");
        let both = service("PreferDualStack", &["IPv6", "IPv4"], &["fd00:10:96::9", "10.96.0.9"]);
        let got = decided(service("PreferDualStack", &[], &[]), Some(&six), Families::Dual).unwrap();
        assert_eq!(got, "PreferDualStack IPv6,IPv4");
        let lost = Service { ip_family_policy: Some(IpFamilyPolicy::SingleStack), ..both.clone() };
        assert_eq!(decided(lost, Some(&both), Families::Dual).unwrap(), "SingleStack IPv6");
        let other = decided(service("", &["IPv4"], &[]), Some(&six), Families::Dual);
        assert_eq!(other, Err(Refusal::FirstFamily));
    }

    #[test]
    fn a_headless_service_without_selector_has_both_unless_it_says_otherwise() {
        let bare = |policy: &str, families: &[&str]| Service {
            selector: Default::default(),
            ..service(policy, families, &["None"])
        };
        assert_eq!(decided(bare("", &[]), None, Families::V4).unwrap(), "RequireDualStack IPv4,IPv6");
        assert_eq!(decided(bare("SingleStack", &[]), None, Families::V6).unwrap(), "SingleStack IPv6");
        let got = decided(bare("PreferDualStack", &["IPv6"]), None, Families::V4).unwrap();
        assert_eq!(got, "PreferDualStack IPv6,IPv4");
        // With a selector it is as any other.
        assert_eq!(decided(service("", &[], &["None"]), None, Families::Dual).unwrap(), "SingleStack IPv4");
    }
}
