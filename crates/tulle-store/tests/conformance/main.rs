//! What every store does, run against each of them.

#![allow(clippy::unwrap_used, reason = "a test that panics is a test that fails")]
#![allow(clippy::print_stderr, reason = "how long ten thousand objects take is worth knowing")]

mod behaviours;
#[allow(dead_code, reason = "shared with tests that need more of it")]
#[path = "../support/etcd.rs"]
mod etcd_server;
mod stores;
mod watching;

/// The behaviours as tests of one store.
macro_rules! each_behaviour {
    ($given:path: $($room:ident :: $behaviour:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() {
                if let Some(given) = $given().await {
                    crate::$room::$behaviour(&given).await;
                }
            }
        )*
    };
}

/// A module of tests for each store.
macro_rules! stores {
    ($($store:ident),*) => {
        $(
            mod $store {
                each_behaviour! { crate::stores::$store:
                    behaviours::creating_and_replacing,
                    behaviours::versions_guard_writes,
                    behaviours::a_status_is_written_apart,
                    behaviours::deleting_needs_the_right_one,
                    behaviours::metadata_comes_back_as_it_was,
                    behaviours::who_was_asked_to_go_does_not_come_back,
                    behaviours::same_names_of_other_kinds_are_other_objects,
                    behaviours::names_that_cannot_be_keys_are_refused,
                    behaviours::lists_have_an_order_and_a_filter,
                    behaviours::of_writers_at_the_same_time_one_wins,
                    behaviours::ten_thousand_objects,
                    watching::every_change_once_and_in_order,
                    watching::a_watch_goes_on_from_any_version,
                    watching::what_is_forgotten_has_expired,
                    watching::a_filter_lets_through_what_it_names,
                    watching::many_watchers_see_the_same,
                    watching::following_tells_everything,
                }
            }
        )*
    };
}

stores!(memory, embedded, remote, etcd);
