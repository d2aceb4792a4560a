-- Songs, fingerprints, the change log and the failures of ingestion. What each is for: ../schema.sql.

create table song_identities (
    song_id bigint generated always as identity primary key,
    external_id text not null unique,
    content_sha256 bytea not null unique check (octet_length(content_sha256) = 32),
    sound_sha256 bytea not null unique check (octet_length(sound_sha256) = 32)
);

create table songs (
    id bigint primary key references song_identities (song_id) on delete cascade,
    external_id text not null,
    title text not null,
    artist text,
    album text,
    isrc text,
    language text,
    genre text,
    duration_ms integer not null check (duration_ms >= 0),
    audio_url text,
    popularity_score double precision not null default 0,
    release_date date,
    content_sha256 bytea not null,
    sound_sha256 bytea not null,
    fingerprint_version smallint not null,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
) partition by hash (id);

create index songs_isrc on songs (isrc, id);
create index songs_artist on songs (artist, id);
create index songs_album on songs (album, id);
create index songs_language on songs (language, id);
create index songs_genre on songs (genre, id);
create index songs_popular on songs (language, genre, popularity_score desc);
create index songs_title on songs (lower(title) text_pattern_ops);

create table fingerprints (
    song_id bigint primary key references song_identities (song_id) on delete cascade,
    fingerprint_version smallint not null,
    body bytea not null
) partition by hash (song_id);
alter table fingerprints alter column body set storage external;

do $$
begin
    for remainder in 0..7 loop
        execute format('create table songs_%1$s partition of songs '
                       'for values with (modulus 8, remainder %1$s)', remainder);
        execute format('create table fingerprints_%1$s partition of fingerprints '
                       'for values with (modulus 8, remainder %1$s)', remainder);
    end loop;
end $$;

create sequence catalogue_revisions;
create table catalogue_changes (
    song_id bigint primary key,
    revision bigint not null default nextval('catalogue_revisions') unique
);
alter sequence catalogue_revisions owned by catalogue_changes.revision;

create table catalogue_name (
    name uuid not null default gen_random_uuid(),
    only_row boolean primary key default true check (only_row)
);
insert into catalogue_name default values;

create table ingest_failures (
    uri text primary key,
    code text not null,
    detail text not null,
    size_bytes bigint,
    modified_at timestamptz,
    failed_at timestamptz not null default now()
);
