//! What a catalogue does with events: kept, listed, sorted, paged, filtered, and their states computed when read.

use super::*;

pub(super) async fn an_event_comes_back_as_it_was_made_and_as_it_was_changed(catalogue: &impl Backend) {
    with_hall(catalogue).await;
    catalogue.create_event(&event(100), None).await.unwrap();
    assert_eq!(catalogue.event(EventId(id(100))).await.unwrap(), Some(event(100)));
    assert_eq!(catalogue.event(EventId(id(101))).await.unwrap(), None);
    let mut changed = Event { title: "Encore".into(), description: None, cancelled: true, ..event(100) };
    changed.sale.admission.active_limit = None;
    changed.sale.sale_ends_at = after(2 * DAY);
    changed.price_range = (Amount(0), Amount(1));
    assert!(catalogue.update_event(&changed).await.unwrap());
    assert_eq!(catalogue.event(EventId(id(100))).await.unwrap(), Some(changed.clone()));
    assert_eq!(catalogue.all_events().await.unwrap(), [changed.clone()]);
    assert!(!catalogue.update_event(&event(101)).await.unwrap());
    catalogue.update_venue(&Venue { name: "Renamed".into(), ..venue(1, 0) }).await.unwrap();
    assert_eq!(catalogue.event(EventId(id(100))).await.unwrap().unwrap().venue_name, "Renamed");
    catalogue.delete_event(EventId(id(100))).await.unwrap();
    assert_eq!(catalogue.event(EventId(id(100))).await.unwrap(), None);
    assert!(!catalogue.update_event(&changed).await.unwrap());
    assert_eq!(catalogue.all_events().await.unwrap(), []);
}

pub(super) async fn tags_are_unique_also_among_the_deleted(catalogue: &impl Backend) {
    with_hall(catalogue).await;
    catalogue.create_event(&event(100), None).await.unwrap();
    let same_tag = Event { id: EventId(id(100 | 1 << 90)), ..event(100) };
    let other_tag = Event { id: EventId(id(101 | 1 << 90)), ..event(100) };
    let refused = catalogue.create_event(&same_tag, Some(&answer(1, NOON))).await;
    assert!(matches!(refused, Err(CatalogueError::InUse("event tag"))));
    assert_eq!(catalogue.recall(1, NOON).await.unwrap(), None);
    catalogue.create_event(&other_tag, None).await.unwrap();
    catalogue.delete_event(EventId(id(100))).await.unwrap();
    let refused = catalogue.create_event(&same_tag, None).await;
    assert!(matches!(refused, Err(CatalogueError::InUse("event tag"))));
}

pub(super) async fn lists_are_sorted_and_paged_without_gaps(catalogue: &impl Backend) {
    with_hall(catalogue).await;
    // In pairs that begin together, have one title (but for case) and were made together.
    for number in 100..107_u128 {
        let pair = (number / 2) as i64;
        let title = if number % 2 == 0 { format!("b{}", 600 - pair) } else { format!("B{}", 600 - pair) };
        let (starts_at, created_at) = (after(-pair), after(pair));
        catalogue.create_event(&Event { title, starts_at, created_at, ..event(number) }, None).await.unwrap();
    }
    let (up, by_start) = ([100, 101, 102, 103, 104, 105, 106], [106, 104, 105, 102, 103, 100, 101]);
    for (order, expected) in
        [(EventOrder::CreatedAt, up), (EventOrder::StartsAt, by_start), (EventOrder::Title, by_start)]
    {
        for descending in [false, true] {
            let mut expected = expected.to_vec();
            if descending {
                expected.reverse();
            }
            let query = |page| EventQuery { order, descending, page, ..all_events() };
            assert_eq!(listed(catalogue, query(ALL)).await, expected, "{order:?}, {descending}");
            let mut paged = Vec::new();
            for number in 0..4 {
                paged.extend(listed(catalogue, query(Page { number, size: 2 })).await);
            }
            assert_eq!(paged, expected, "{order:?}, {descending}");
        }
    }
    let beyond = catalogue.events(&EventQuery { page: Page { number: 9, size: 100 }, ..all_events() }).await.unwrap();
    assert_eq!(beyond, Listed { items: vec![], total: 7 });
    let last = Page { number: u32::MAX, size: 100 };
    assert_eq!(catalogue.events(&EventQuery { page: last, ..all_events() }).await.unwrap().total, 7);
}

pub(super) async fn lists_are_filtered(catalogue: &impl Backend) {
    with_hall(catalogue).await;
    catalogue.create_venue(&venue(2, 0), None).await.unwrap();
    catalogue.create_hall(&hall(20, 2), &plan(), None).await.unwrap();
    let named =
        |number, title: &str, artist: &str| Event { title: title.into(), artist: artist.into(), ..event(number) };
    for event in [
        named(1, "Ärger 100%", "Band_One"),
        named(2, "서울 콘서트", "밴드"),
        Event { hall: id(20), venue: id(2), venue_name: "Venue 2".into(), ..named(3, "Ångström", "BAND two") },
        named(4, "Gone", "Band"),
    ] {
        catalogue.create_event(&event, None).await.unwrap();
    }
    catalogue.delete_event(EventId(id(4))).await.unwrap();
    for (text, expected) in [
        ("band", &[1, 3][..]),
        ("ÄRGER", &[1]),
        ("ångSTRÖM", &[3]),
        ("콘서", &[2]),
        ("100%", &[1]),
        ("%", &[1]),
        ("_", &[1]),
        ("", &[1, 2, 3]),
        ("nobody", &[]),
        ("100%band", &[]),
    ] {
        let query = EventQuery { text: Some(text.into()), ..all_events() };
        assert_eq!(listed(catalogue, query).await, expected, "{text:?}");
    }
    let query = EventQuery { venue: Some(id(2)), ..all_events() };
    assert_eq!(catalogue.events(&query).await.unwrap().items[0].venue_name, "Venue 2");
    assert_eq!(listed(catalogue, query).await, [3]);
    let between = |from, to| EventQuery { from, to, ..all_events() };
    assert_eq!(listed(catalogue, between(Some(after(2 * DAY)), None)).await, [2, 3]);
    assert_eq!(listed(catalogue, between(None, Some(after(2 * DAY)))).await, [1]);
    assert_eq!(listed(catalogue, between(Some(after(2 * DAY)), Some(after(3 * DAY)))).await, [2]);
    let all_of_it = EventQuery {
        status: Some(EventStatus::OnSale),
        text: Some("band".into()),
        venue: Some(id(1)),
        ..between(Some(NOON), Some(after(9 * DAY)))
    };
    assert_eq!(listed(catalogue, all_of_it).await, [1]);
}

pub(super) async fn states_are_computed_when_read(catalogue: &impl Backend) {
    with_hall(catalogue).await;
    for number in 1..=3 {
        catalogue.create_event(&event(number), None).await.unwrap();
    }
    catalogue.update_event(&Event { cancelled: true, ..event(2) }).await.unwrap();
    catalogue.sell_out(EventId(id(2)));
    catalogue.sell_out(EventId(id(3)));
    catalogue.block_all(EventId(id(1)));
    let (before, during, ended) = (Timestamp(NOON.0 - 1), NOON, after(DAY));
    for (status, now, expected) in [
        (EventStatus::Upcoming, before, &[1, 3][..]),
        (EventStatus::Upcoming, during, &[]),
        (EventStatus::OnSale, before, &[]),
        (EventStatus::OnSale, during, &[1]),
        (EventStatus::OnSale, ended, &[]),
        (EventStatus::SoldOut, before, &[]),
        (EventStatus::SoldOut, during, &[3]),
        (EventStatus::SoldOut, ended, &[]),
        (EventStatus::Ended, during, &[]),
        (EventStatus::Ended, ended, &[1, 3]),
        (EventStatus::Cancelled, before, &[2]),
        (EventStatus::Cancelled, ended, &[2]),
    ] {
        let query = EventQuery { status: Some(status), now, ..all_events() };
        assert_eq!(catalogue.events(&query).await.unwrap().total, expected.len() as u64);
        assert_eq!(listed(catalogue, query).await, expected, "{status:?} at {now:?}");
    }
}
