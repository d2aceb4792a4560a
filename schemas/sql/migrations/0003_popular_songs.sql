-- The most popular songs of all languages and genres, without reading all songs.

create index songs_popularity on songs (popularity_score desc, id);
