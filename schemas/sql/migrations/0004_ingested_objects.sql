-- Objects whose bytes the catalogue holds, so that a long ingest that is started again does not read them again.

create table ingested_objects (
    uri text primary key,
    etag text not null,
    song_id bigint not null references song_identities (song_id) on delete cascade
);
create index ingested_objects_song on ingested_objects (song_id);
