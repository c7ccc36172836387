//! How plans are kept: once, shared by those who use them, and refused when they are damaged.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_there_after_reopening_and_plans_are_shared() {
    let temp = tempfile::tempdir().unwrap();
    {
        let (catalogue, plans) = sqlite(temp.path());
        with_hall(&catalogue).await;
        let shared = plans.plan(plan().hash()).unwrap().unwrap();
        assert!(Arc::ptr_eq(&shared, &plans.plan(plan().hash()).unwrap().unwrap()));
    }
    let (OnSqlite { catalogue, .. }, plans) = sqlite(temp.path());
    assert_eq!(catalogue.hall(id(10)).await.unwrap(), Some(hall(10, 1)));
    assert_eq!(catalogue.venue(id(1)).await.unwrap(), Some(venue(1, 0)));
    let read = plans.plan(plan().hash()).unwrap().unwrap();
    assert_eq!((read.draft(), read.layout()), (plan().draft(), plan().layout()));
    assert!(Arc::ptr_eq(&read, &plans.plan(plan().hash()).unwrap().unwrap()));
    assert!(plans.plan(PlanHash([1; 32])).unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_stored_once_and_damage_is_reported() {
    let temp = tempfile::tempdir().unwrap();
    let (OnSqlite { catalogue, dir }, _) = sqlite(temp.path());
    catalogue.create_venue(&venue(1, 0), None).await.unwrap();
    let json = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../halls/arena.json")).unwrap();
    let arena = pretix::import_plan(&json, None).unwrap().plan;
    for number in [10, 11] {
        let hall = Hall { plan: arena.hash(), capacity: 16_254, ..hall(number, 1) };
        catalogue.create_hall(&hall, &arena, None).await.unwrap();
    }
    let library = dir.library().unwrap();
    let (rows, bytes): (i64, i64) = library
        .query_row("SELECT count(*), sum(length(body)) FROM plans", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!(rows, 1);
    assert!(bytes < json.len() as i64 / 4, "{bytes} bytes, compressed");
    let fresh = SqlitePlans::open(&dir).unwrap();
    assert_eq!(fresh.plan(arena.hash()).unwrap().unwrap().capacity(), 16_254);
    library.execute("UPDATE plans SET body = substr(body, 1, 1000)", []).unwrap();
    let error = SqlitePlans::open(&dir).unwrap().plan(arena.hash()).unwrap_err().to_string();
    assert!(error.contains("damaged") && error.contains(&arena.hash().to_string()), "{error}");
}
