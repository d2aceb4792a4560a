-- The whole present schema of the catalogue (PostgreSQL 14 or newer, no extension).
-- It is read, not run: databases are made by the migrations beside it, and a test holds that both agree.

-- Which migrations this database has; written by backend/catalogue/migrations.py.
create table schema_migrations (
    name text primary key,
    applied_at timestamptz not null default now()
);

-- Hands out song ids and holds that nothing is in the catalogue twice. A unique index of a partitioned table must
-- contain the partition key, so uniqueness over the whole catalogue needs a table of its own: narrow (about 150 bytes
-- a song) and unpartitioned. All else that belongs to a song goes when its row here goes.
create table song_identities (
    song_id bigint generated always as identity primary key,
    external_id text not null unique,
    content_sha256 bytea not null unique check (octet_length(content_sha256) = 32),
    sound_sha256 bytea not null unique check (octet_length(sound_sha256) = 32)
);

-- Hash partitions keep each index and each vacuum an eighth of the whole at tens of millions of songs, whatever the
-- order in which songs come; a look-up by id touches one partition, any other look-up eight small index scans.
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

-- The id in an index makes pages ordered by id come straight out of it.
create index songs_isrc on songs (isrc, id);
create index songs_artist on songs (artist, id);
create index songs_album on songs (album, id);
create index songs_language on songs (language, id);
create index songs_genre on songs (genre, id);
create index songs_popular on songs (language, genre, popularity_score desc);
-- For `lower(title) like 'prefix%'` under any collation.
create index songs_title on songs (lower(title) text_pattern_ops);

-- The body is the wire format, application/vnd.sonica.fingerprint. Its signed bytes are noise to a compressor, so it
-- is stored as it is. The version is beside it so that others can be found without reading bodies.
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

-- What an index catches up from: the last change of each song, also of those that are gone (hence no foreign key).
-- One row a song, so that the log stays as long as songs and deletions are many. Revisions become visible in their
-- own order because writers take turns: see take_turn in backend/catalogue/queries.sql.
create sequence catalogue_revisions;
create table catalogue_changes (
    song_id bigint primary key,
    revision bigint not null default nextval('catalogue_revisions') unique
);
alter sequence catalogue_revisions owned by catalogue_changes.revision;

-- Tells this catalogue from every other: an index that was made from another one must not be believed.
create table catalogue_name (
    name uuid not null default gen_random_uuid(),
    only_row boolean primary key default true check (only_row)
);

-- Files that `sonica ingest` could not take, for `--retry-failed`.
create table ingest_failures (
    uri text primary key,
    code text not null,
    detail text not null,
    size_bytes bigint,
    modified_at timestamptz,
    failed_at timestamptz not null default now()
);
