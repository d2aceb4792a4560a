-- The catalogue's statements by name; backend/catalogue/queries.py reads them.

-- name: take_turn
-- Writers take turns until their transaction has ended. A revision is drawn inside the turn, so revisions become visible
-- in ascending order: a reader that has seen revision n never finds a smaller one later, which it would miss. A turn is
-- one short transaction; an index that misses a song would be wrong for good.
select pg_advisory_xact_lock(hashtextextended('sonica catalogue_changes', 0))

-- name: take_name
-- Held by the session: one process at a time has it, and a process that dies gives it back.
select pg_try_advisory_lock(hashtextextended('sonica turn ' || $1, 0))

-- name: give_name_back
select pg_advisory_unlock(hashtextextended('sonica turn ' || $1, 0))

-- name: songs_sharing
-- The songs that a new one may collide with, by external id, content or sound.
select s.*
from song_identities i
join songs s on s.id = i.song_id
where i.external_id = $1 or i.content_sha256 = $2 or i.sound_sha256 = $3

-- name: add_song
with identity as (
    insert into song_identities (external_id, content_sha256, sound_sha256) values ($1, $2, $3)
    returning *
)
insert into songs (id, external_id, content_sha256, sound_sha256, fingerprint_version, duration_ms, title, artist,
                   album, isrc, language, genre, audio_url, popularity_score, release_date)
select song_id, external_id, content_sha256, sound_sha256, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14
from identity
returning id

-- name: update_song
with identity as (
    update song_identities set external_id = $1, content_sha256 = $2, sound_sha256 = $3 where song_id = $15
    returning *
)
update songs
set external_id = identity.external_id, content_sha256 = identity.content_sha256,
    sound_sha256 = identity.sound_sha256, fingerprint_version = $4, duration_ms = $5, title = $6, artist = $7,
    album = $8, isrc = $9, language = $10, genre = $11, audio_url = $12, popularity_score = $13, release_date = $14,
    updated_at = now()
from identity
where id = identity.song_id
returning id

-- name: delete_song
delete from song_identities where song_id = $1 returning song_id

-- name: put_fingerprint
insert into fingerprints (song_id, fingerprint_version, body) values ($1, $2, $3)
on conflict (song_id) do update set fingerprint_version = excluded.fingerprint_version, body = excluded.body

-- name: log_change
insert into catalogue_changes (song_id) values ($1)
on conflict (song_id) do update set revision = excluded.revision

-- name: catalogue_name
select name::text from catalogue_name

-- name: revision
select coalesce(max(revision), 0) from catalogue_changes

-- name: changes
select c.revision, c.song_id, f.fingerprint_version, f.body
from catalogue_changes c
left join fingerprints f using (song_id)
where c.revision > $1
order by c.revision
limit $2

-- name: songs
select * from songs where id = any($1::bigint[])

-- name: page
-- The external id is looked up where it is unique: one index scan instead of one a partition.
select *
from songs
where id > $1
  and ($3::text is null or id = (select song_id from song_identities where external_id = $3))
  and ($4::text is null or isrc = $4)
  and ($5::text is null or artist = $5)
  and ($6::text is null or album = $6)
  and ($7::text is null or language = $7)
  and ($8::text is null or genre = $8)
order by id
limit $2

-- name: popular
select *
from songs
where ($2::text is null or language = $2) and ($3::text is null or genre = $3)
order by popularity_score desc, id
limit $1

-- name: content_known
select content_sha256, external_id from song_identities where content_sha256 = any($1::bytea[])

-- name: record_failure
insert into ingest_failures (uri, code, detail, size_bytes, modified_at, failed_at) values ($1, $2, $3, $4, $5, $6)
on conflict (uri) do update
set code = excluded.code, detail = excluded.detail, size_bytes = excluded.size_bytes,
    modified_at = excluded.modified_at, failed_at = excluded.failed_at

-- name: clear_failure
delete from ingest_failures where uri = $1

-- name: failures
select uri, code, detail, size_bytes, modified_at, failed_at
from ingest_failures
where uri collate "C" > $1
order by uri collate "C"
limit $2

-- name: failures_of
select uri, code, detail, size_bytes, modified_at, failed_at from ingest_failures where uri = any($1::text[])

-- name: objects_known
select o.uri, i.external_id
from unnest($1::text[], $2::text[]) as wanted (uri, etag)
join ingested_objects o using (uri, etag)
join song_identities i using (song_id)

-- name: note_object
insert into ingested_objects (uri, etag, song_id)
select $1, $2, song_id from song_identities where external_id = $3
on conflict (uri) do update set etag = excluded.etag, song_id = excluded.song_id
