//! Answers to a batch, what a token holds, what waits.

use super::*;
use handover_core::LeaseToken;
use handover_ledger::{Answer, Answered, Answers, Outcome};

fn done(id: DeliveryId) -> Answer {
    Answer { id, outcome: Outcome::Completed { result: None, next: vec![] } }
}

fn failed(id: DeliveryId, verdict: Verdict) -> Answer {
    Answer { id, outcome: Outcome::Failed { error: "it broke".into(), verdict, result: None } }
}

fn answers(held: &Held, answers: Vec<Answer>, whole: bool) -> Answers {
    Answers { queue: held.queue, token: held.token.clone(), answers, whole }
}

pub(crate) async fn each_answer_ends_its_delivery<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let all = w.push_to(kind, "a", 6).await;
        let claimed = w.claim(kind, "a", 6).await;
        let token = held(&claimed[0]);
        let with_next = Outcome::Completed {
            result: Some(json!({ "rows": 7 })),
            next: vec![new(kind, "b"), NewDelivery { target_app: None, ..new(kind, "") }],
        };
        let given = vec![
            done(all[3]),
            Answer { id: all[0], outcome: with_next },
            failed(all[1], Verdict::Retry),
            failed(all[2], Verdict::Final),
            done(all[4]),
        ];
        let answered = w.ledger.answer(answers(&token, given, false)).await.unwrap();
        assert_eq!(
            (&answered[0], &answered[4]),
            (&Answered::Completed(vec![]), &Answered::Completed(vec![]))
        );
        let Answered::Completed(next) = &answered[1] else { panic!("{answered:?}") };
        let Answered::Failed(again) = &answered[2] else { panic!("{answered:?}") };
        let Answered::Failed(given_up) = &answered[3] else { panic!("{answered:?}") };
        assert_eq!((again.status, given_up.status), (Status::Pending, Status::Failed));
        assert!(again.run_at.is_some() && given_up.run_at.is_none());
        let one = w.get(all[0]).await;
        assert_eq!(
            (one.status, one.result, one.processed_at),
            (w.stands(kind, Status::Completed), Some(json!({ "rows": 7 })), Some(w.now()))
        );
        assert_eq!((one.lease_token, one.lease_until), (None, None));
        let plain = w.get(all[3]).await;
        assert_eq!(
            (plain.status, plain.result, plain.last_error),
            (w.stands(kind, Status::Completed), None, None)
        );
        assert_eq!(w.get(all[2]).await.last_error.as_deref(), Some("it broke"));
        assert_eq!(w.status(all[5]).await, Status::Processing, "of which nothing was said");
        let follows = w.get(next[0]).await;
        assert_eq!((follows.parent_id, follows.target_app.as_deref()), (Some(all[0]), Some("b")));
        assert_eq!(w.get(next[1]).await.status, Status::Completed);
        for id in [all[0], all[3], all[4]] {
            let audit = w.ledger.audit(id).await.unwrap();
            let steps: Vec<_> = audit.iter().take(3).map(|e| (e.actor.as_str(), e.to)).collect();
            assert_eq!(
                steps,
                [
                    ("test", Status::Pending),
                    ("1-worker", Status::Processing),
                    ("1-worker", Status::Completed)
                ]
            );
        }
        w.check_counts().await;
    }
}

pub(crate) async fn a_stale_answer_leaves_the_others<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let all = w.push_to(kind, "a", 3).await;
        let claimed = w.claim(kind, "a", 3).await;
        let token = held(&claimed[0]);
        w.ledger.cancel("ann", all[1]).await.unwrap();
        let unknown = DeliveryId(999_999);
        let given =
            vec![done(all[0]), done(all[1]), done(all[0]), done(unknown), failed(all[1], Verdict::Retry)];
        let answered = w.ledger.answer(answers(&token, given, false)).await.unwrap();
        assert_eq!(answered[0], Answered::Completed(vec![]));
        for stale in &answered[1..] {
            assert!(matches!(stale, Answered::Stale(why) if why.contains("no longer ours")), "{stale:?}");
        }
        assert_eq!(
            (w.status(all[0]).await, w.status(all[1]).await),
            (w.stands(kind, Status::Completed), Status::Failed)
        );
        // Another's token ends nothing.
        let foreign = Held { token: LeaseToken::random(), ..token.clone() };
        let answered = w.ledger.answer(answers(&foreign, vec![done(all[2])], false)).await.unwrap();
        assert!(matches!(answered[0], Answered::Stale(_)));
        assert_eq!(w.status(all[2]).await, Status::Processing);
        assert!(w.ledger.answer(answers(&token, vec![], false)).await.unwrap().is_empty());
        w.ledger.answer(answers(&token, vec![done(all[2])], true)).await.unwrap();
        w.check_counts().await;
    }
}

pub(crate) async fn whole_answers_count_all_or_none<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let all = w.push_to(kind, "a", 3).await;
        let claimed = w.claim(kind, "a", 3).await;
        let token = held(&claimed[0]);
        w.ledger.cancel("ann", all[1]).await.unwrap();
        let next = Outcome::Completed { result: None, next: vec![new(kind, "b")] };
        let given = vec![Answer { id: all[0], outcome: next }, done(all[2]), done(all[1])];
        stale(w.ledger.answer(answers(&token, given, true)).await);
        assert_eq!(
            (w.status(all[0]).await, w.status(all[2]).await),
            (Status::Processing, Status::Processing)
        );
        assert_eq!(w.ledger.waiting(kind.into(), "b", 9).await.unwrap().count, 0);
        assert_eq!(w.ledger.audit(all[0]).await.unwrap().len(), 2, "no trace of it");
        let answered =
            w.ledger.answer(answers(&token, vec![done(all[0]), done(all[2])], true)).await.unwrap();
        assert_eq!(answered, [Answered::Completed(vec![]), Answered::Completed(vec![])]);
        w.check_counts().await;
    }
}

pub(crate) async fn a_thousand_at_once<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let all = w.push_to(kind, "a", 2_500).await;
        // A gap in the middle, so that not all numbers follow one another.
        w.ledger.cancel("ann", all[700]).await.unwrap();
        let claimed = w.claim(kind, "a", 5_000).await;
        assert_eq!(claimed.len(), 2_499);
        let given = ids(&claimed).into_iter().map(done).collect();
        let answered = w.ledger.answer(answers(&held(&claimed[0]), given, true)).await.unwrap();
        assert!(answered.iter().all(|one| *one == Answered::Completed(vec![])));
        for index in [0, 1, 699, 701, 1_023, 1_024, 1_025, 2_048, 2_499] {
            let audit = w.ledger.audit(all[index]).await.unwrap();
            let steps: Vec<_> = audit.iter().take(3).map(|e| (e.from, e.to)).collect();
            let expected = [
                (None, Status::Pending),
                (Some(Status::Pending), Status::Processing),
                (Some(Status::Processing), Status::Completed),
            ];
            assert_eq!(steps, expected, "number {index}");
        }
        assert_eq!(w.ledger.audit(all[700]).await.unwrap().len(), 2);
        // One line for each transition of each delivery, however they are kept.
        let (first, last) = (all[0], all[2_499]);
        let lines = format!("SELECT count(*) FROM v_audit WHERE delivery_id BETWEEN {first} AND {last}");
        let each = if w.stands(kind, Status::Completed) == Status::Archived { 4 } else { 3 };
        assert_eq!(w.number(&lines).await, 2_499 * each + 2);
        w.check_counts().await;
    }
}

pub(crate) async fn a_token_holds_what_was_claimed_with_it<B: Backend>() {
    let w = World::<B>::new().await;
    assert!(w.ledger.held_by(&LeaseToken::random()).await.unwrap().is_empty());
    for kind in KINDS {
        let all = w.push_to(kind, "a", 3).await;
        let first = w.claim(kind, "a", 2).await;
        let second = w.claim(kind, "a", 2).await;
        let token = held(&first[0]).token;
        let found = w.ledger.held_by(&token).await.unwrap();
        assert_eq!(found, first.iter().map(held).collect::<Vec<_>>());
        w.complete(&held(&first[0])).await.unwrap();
        assert_eq!(w.ledger.held_by(&token).await.unwrap(), [held(&first[1])]);
        w.complete(&held(&first[1])).await.unwrap();
        assert!(w.ledger.held_by(&token).await.unwrap().is_empty());
        assert_eq!(w.ledger.held_by(&held(&second[0]).token).await.unwrap()[0].id, all[2]);
    }
}

pub(crate) async fn what_waits_is_counted_up_to_a_limit<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let queue = Queue::from(kind);
        let start = w.now();
        assert_eq!(
            (
                w.ledger.waiting(queue, "a", 9).await.unwrap().count,
                w.ledger.waiting(queue, "a", 9).await.unwrap().oldest
            ),
            (0, None)
        );
        w.push_to(kind, "a", 2).await;
        w.advance(3);
        w.push_to(kind, "a", 3).await;
        let later = NewDelivery { run_at: Some(w.now() + Duration::from_secs(60)), ..new(kind, "a") };
        w.push(later).await;
        w.push_to(kind, "b", 1).await;
        let waiting = w.ledger.waiting(queue, "a", 99).await.unwrap();
        assert_eq!((waiting.count, waiting.oldest), (5, Some(start)));
        assert_eq!(w.ledger.waiting(queue, "a", 4).await.unwrap().count, 4);
        w.ledger.pause("ann", "a").await.unwrap();
        assert_eq!(w.ledger.waiting(queue, "a", 99).await.unwrap().count, 0);
        w.ledger.resume("ann", "a").await.unwrap();
        let claimed = w.claim(kind, "a", 4).await;
        assert_eq!(w.ledger.waiting(queue, "a", 99).await.unwrap().count, 1);
        let given = ids(&claimed).into_iter().map(done).collect();
        w.ledger.answer(answers(&held(&claimed[0]), given, true)).await.unwrap();
    }
}

pub(crate) async fn what_waits_is_measured<B: Backend>() {
    let w = World::<B>::new().await;
    for kind in KINDS {
        let queue = Queue::from(kind);
        let filling = async |rows, bytes| w.ledger.filling(queue, "a", rows, bytes).await.unwrap();
        assert_eq!(filling(9, 0).await, None);
        // Each is ten bytes with the end of its line, whatever its characters; the last is first in line.
        for (text, priority) in
            [("1234567", 0), ("äöüx", 0), ("3234567", 0), ("123456789012345678901234567", 9)]
        {
            let data = json!(text);
            w.push(NewDelivery { data: data.into(), priority, ..new(kind, "a") }).await;
        }
        w.push_to(kind, "b", 5).await;
        assert_eq!(filling(9, 60).await, None, "all of them are no more");
        assert_eq!(filling(9, 59).await, Some(3));
        assert_eq!(filling(9, 50).await, Some(3));
        assert_eq!(filling(9, 49).await, Some(2));
        assert_eq!(filling(2, 40).await, None, "of the first two");
        assert_eq!(filling(9, 5).await, Some(1), "one alone may be larger");
        w.ledger.pause("ann", "a").await.unwrap();
        assert_eq!(filling(9, 5).await, None);
        w.ledger.resume("ann", "a").await.unwrap();
    }
}
