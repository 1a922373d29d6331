//! What was done is answered as done, also when the store stops answering in the middle.

use super::steer::{STOP_WITHIN, all_told};
use super::*;
use dacapo_store::roles::Acknowledged;
use std::sync::atomic::{AtomicUsize, Ordering};

fn gone<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("gone".to_owned()))
}

#[tokio::test]
async fn a_write_that_is_there_has_worked_whatever_its_answer() {
    let found = |found: Option<u64>| found.map(Some);
    let written = |answer, there: Result<Option<u64>, StoreError>| unless_it_worked(answer, async { there }, found);
    assert_eq!(written(gone(), Ok(Some(7))).await.expect("is there"), Some(7));
    assert!(written(gone(), Ok(None)).await.is_err(), "it is not there");
    assert!(written(gone(), gone()).await.is_err(), "nobody knows");
    assert_eq!(written(Ok(None), Ok(Some(7))).await.expect("answered"), None, "nothing to look for");
    let refused = Err(StoreError::Refused("no".to_owned()));
    assert!(written(refused, Ok(Some(7))).await.is_err(), "what was refused was not written");
}

#[tokio::test]
async fn a_stop_is_no_failure_because_who_has_heard_of_it_cannot_be_read() {
    let told = all_told(Duration::ZERO, || async { gone() }).await;
    assert_eq!((told.missing, told.in_flight), (1, 0), "at least one has not confirmed");
    let looks = AtomicUsize::new(0);
    let at_last = all_told(STOP_WITHIN, || async {
        match looks.fetch_add(1, Ordering::SeqCst) {
            0 => gone(),
            1 => Ok(Acknowledged { missing: 2, in_flight: 3 }),
            _ => Ok(Acknowledged { missing: 0, in_flight: 5 }),
        }
    });
    assert_eq!(at_last.await, Acknowledged { missing: 0, in_flight: 5 });
    let never = all_told(Duration::ZERO, || async { Ok(Acknowledged { missing: 2, in_flight: 3 }) }).await;
    assert_eq!(never, Acknowledged { missing: 2, in_flight: 3 });
}
