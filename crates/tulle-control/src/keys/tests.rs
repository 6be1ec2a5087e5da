use super::*;

fn answer(id: &str) -> Result<fetch::Answer, String> {
    let text = format!(r#"{{"keys": [{{"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "{id}"}}]}}"#);
    Ok(fetch::Answer { text, max_age: None })
}

#[test]
fn a_good_set_stays_for_a_day_while_fetching_fails() {
    let start = Instant::now();
    let mut set = Set { due: start, running: true, failures: 0, good: None };
    let failed = || Err("no answer".to_owned());
    assert_eq!(set.take(failed(), start).keys, None, "nothing was ever fetched");
    assert_eq!(set.due, start + RETRY);
    assert!(set.take(answer("a"), start).keys.is_some_and(|k| k.contains("\"a\"")));
    assert_eq!(set.due, start + REFRESH);
    let later = start + Duration::from_secs(3600);
    let kept = set.take(failed(), later);
    assert!(kept.keys.is_some() && kept.problem.is_some());
    for _ in 0..100 {
        set.take(failed(), later);
    }
    assert_eq!(set.due, later + LATEST_RETRY);
    assert_eq!(set.take(failed(), start + LAST_GOOD + RETRY).keys, None);
    let empty = fetch::Answer { text: "{\"keys\": []}".to_owned(), max_age: None };
    assert!(set.take(Ok(empty), start).problem.is_some(), "a set without keys is a failure");
}

#[test]
fn servers_say_when_to_come_again_within_bounds() {
    let start = Instant::now();
    let mut set = Set { due: start, running: true, failures: 0, good: None };
    for (max_age, wanted) in [(0, SOONEST), (30, Duration::from_secs(30)), (1 << 40, REFRESH)] {
        let text = answer("a").unwrap_or_default().text;
        set.take(Ok(fetch::Answer { text, max_age: Some(Duration::from_secs(max_age)) }), start);
        assert_eq!(set.due, start + wanted);
    }
}

/// A server that takes connections and says nothing.
#[test]
fn a_set_takes_no_longer_than_its_policies_say() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let Ok(runtime) = runtime else { panic!("no runtime") };
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/keys", listener.local_addr().unwrap());
        let source = KeySource::Address(address);
        let (stop, stopped) = Stop::new();
        let dir = tempfile::tempdir().unwrap();
        let limit = Duration::from_millis(200);
        let (wanted_sender, wanted) = watch::channel(Wanted::from([(source.clone(), limit)]));
        let (told_sender, mut told) = mpsc::unbounded_channel();
        let metrics = Arc::new(Metrics::default());
        let task = tokio::spawn(keep(
            Fetcher::anywhere(),
            Saved::new(dir.path().join("keys")),
            metrics.clone(),
            wanted,
            told_sender,
            stopped,
        ));
        let (of, fetched) = told.recv().await.unwrap();
        assert_eq!(of, source);
        assert_eq!(fetched.keys, None);
        let problem = fetched.problem.unwrap();
        assert!(problem.contains("no answer within 200ms"), "{problem}");
        assert!(metrics.render().contains("pilot_jwks_resolver_network_fetch_fail_total 1\n"));
        // What nobody wants any more is forgotten.
        wanted_sender.send_replace(Wanted::new());
        while told.recv().await.unwrap().1 != Fetched::default() {}
        stop.send_replace(true);
        task.await.unwrap();
    });
}

/// A server that cannot be reached after a restart.
#[test]
fn a_set_that_was_fetched_holds_over_a_restart() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let source = KeySource::Address("http://127.0.0.1:9/keys".into());
        Saved::new(dir.path().to_owned()).write(&source, &answer("kept").unwrap().text);
        let (stop, stopped) = Stop::new();
        let (_sender, wanted) = watch::channel(Wanted::from([(source.clone(), Duration::from_secs(5))]));
        let (told_sender, mut told) = mpsc::unbounded_channel();
        let saved = Saved::new(dir.path().to_owned());
        let task =
            tokio::spawn(keep(Fetcher::anywhere(), saved, Arc::default(), wanted, told_sender, stopped));
        let first = told.recv().await.unwrap().1;
        assert!(first.keys.is_some_and(|k| k.contains("kept")) && first.problem.is_none());
        let second = told.recv().await.unwrap().1;
        assert!(second.keys.is_some_and(|k| k.contains("kept")) && second.problem.is_some());
        stop.send_replace(true);
        task.await.unwrap();
    });
}
