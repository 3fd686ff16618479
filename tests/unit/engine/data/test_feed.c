#include "data_test.h"

struct pairs {
    char *folder;
    Caffe__DataParameter data;
    Caffe__LayerParameter layer;
    struct source_options options;
};

/* A feed of batches of 2 of 5 records {i, 2i} with label 10 + i. */
static void pairs_init(struct pairs *p)
{
    p->folder = test_folder();
    CLEANUP(freep) char *path = path_join(p->folder, "db");
    make_pairs_db(DB_LMDB, path, 5);
    caffe__data_parameter__init(&p->data);
    p->data.source = (char *)"db";
    p->data.batch_size = 2;
    p->data.backend = CAFFE__DATA_PARAMETER__DB__LMDB;
    p->layer = data_layer_param("Data", 2);
    p->layer.data_param = &p->data;
    p->options = (struct source_options){.param = &p->layer, .folder = p->folder};
}

static void pairs_release(struct pairs *p)
{
    dir_remove(p->folder, NULL);
    free(p->folder);
}

static void expect_batch(struct feed *f, int row)
{
    struct error err;
    float *const *tops;
    assert_ok(feed_next(f, &tops, &err));
    for (int k = 0; k < 2; k++) {
        assert_float_equal(tops[0][2 * k], ((row + k) % 5), 0);
        assert_float_equal(tops[1][k], (10 + (row + k) % 5), 0);
    }
}

static void batches_come_in_order_whatever_the_room(void **state)
{
    (void)state;
    CLEANUP(pairs_release) struct pairs p;
    pairs_init(&p);
    for (int n_ahead = 1; n_ahead < 6; n_ahead++) {
        struct error err;
        struct feed *f;
        assert_ok(feed_open(&p.options, n_ahead, &f, &err));
        for (int batch = 0; batch < 50; batch++)
            expect_batch(f, 2 * batch);
        feed_close(f);
    }
}

static void a_feed_closes_at_any_moment(void **state)
{
    (void)state;
    CLEANUP(pairs_release) struct pairs p;
    pairs_init(&p);
    for (int n = 0; n < 20; n++) {
        struct error err;
        struct feed *f;
        assert_ok(feed_open(&p.options, 3, &f, &err));
        for (int batch = 0; batch < n % 5; batch++)
            expect_batch(f, 2 * batch);
        feed_close(f);
    }
}

static void the_position_is_that_of_the_next_batch_not_of_the_thread(void **state)
{
    (void)state;
    CLEANUP(pairs_release) struct pairs p;
    pairs_init(&p);
    struct error err;
    struct feed *f;
    struct source_position start, after_three;
    assert_ok(feed_open(&p.options, 4, &f, &err));
    feed_tell(f, &start);
    for (int batch = 0; batch < 3; batch++)
        expect_batch(f, 2 * batch);
    feed_tell(f, &after_three);
    for (int batch = 3; batch < 9; batch++)
        expect_batch(f, 2 * batch);
    assert_ok(feed_seek(f, &after_three, &err));
    for (int batch = 3; batch < 9; batch++)
        expect_batch(f, 2 * batch);
    assert_ok(feed_seek(f, &start, &err));
    expect_batch(f, 0);
    feed_close(f);
}

static void an_error_comes_after_the_good_batches_and_stays(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(freep) char *folder = test_folder();
    write_pixel(folder, "a.png", 1);
    write_text(folder, "list.txt", "a.png 0\na.png 1\nmissing.png 2\n");
    Caffe__ImageDataParameter images = CAFFE__IMAGE_DATA_PARAMETER__INIT;
    images.source = (char *)"list.txt";
    Caffe__LayerParameter layer = data_layer_param("ImageData", 2);
    layer.image_data_param = &images;
    struct source_options options = {.param = &layer, .folder = folder};
    struct feed *f;
    float *const *tops;
    assert_ok(feed_open(&options, 4, &f, &err));
    for (int i = 0; i < 2; i++) {
        assert_ok(feed_next(f, &tops, &err));
        assert_float_equal(tops[1][0], i, 0);
    }
    for (int i = 0; i < 2; i++) {
        err.message[0] = '\0';
        assert_int_equal(feed_next(f, &tops, &err), NOT_FOUND);
        assert_non_null(strstr(err.message, "line 3 of list"));
    }
    feed_close(f);
    dir_remove(folder, NULL);
}

static void a_seek_after_an_error_goes_on(void **state)
{
    (void)state;
    struct error err;
    CLEANUP(freep) char *folder = test_folder();
    write_pixel(folder, "a.png", 1);
    write_text(folder, "list.txt", "a.png 7\nmissing.png 2\n");
    Caffe__ImageDataParameter images = CAFFE__IMAGE_DATA_PARAMETER__INIT;
    images.source = (char *)"list.txt";
    Caffe__LayerParameter layer = data_layer_param("ImageData", 2);
    layer.image_data_param = &images;
    struct feed *f;
    float *const *tops;
    struct source_position start;
    assert_ok(feed_open(&(struct source_options){.param = &layer, .folder = folder}, 2, &f, &err));
    feed_tell(f, &start);
    assert_ok(feed_next(f, &tops, &err));
    assert_int_not_equal(feed_next(f, &tops, &err), OK);
    assert_ok(feed_seek(f, &start, &err));
    assert_ok(feed_next(f, &tops, &err));
    assert_float_equal(tops[1][0], 7, 0);
    feed_close(f);
    dir_remove(folder, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_come_in_order_whatever_the_room),
        cmocka_unit_test(a_feed_closes_at_any_moment),
        cmocka_unit_test(the_position_is_that_of_the_next_batch_not_of_the_thread),
        cmocka_unit_test(an_error_comes_after_the_good_batches_and_stays),
        cmocka_unit_test(a_seek_after_an_error_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
