/* The power spectrum of one window: Hann, a real FFT of 2,048 points as a complex one of 1,024, radix 4. */
#include "fingerprint.h"
#include "tables.h"

enum { POINTS = WINDOW_SAMPLES / 2 };

_Static_assert(POINTS == 1024, "five radix-4 passes make 1,024 points");

/* One pass of Stockham's autosort FFT (decimation in frequency): contiguous in `q`, so that compilers vectorise it. */
static void radix4_pass(const float *restrict re, const float *restrict im, float *restrict out_re,
                        float *restrict out_im, int stride) {
    int quarter = POINTS / 4;
    int groups = quarter / stride;
    for (int p = 0; p < groups; p++) {
        int t = p * stride;
        float c1 = TWIDDLE_COS[t], s1 = TWIDDLE_SIN[t];
        float c2 = TWIDDLE_COS[2 * t], s2 = TWIDDLE_SIN[2 * t];
        float c3 = TWIDDLE_COS[3 * t], s3 = TWIDDLE_SIN[3 * t];
        for (int q = 0; q < stride; q++) {
            int in = q + stride * p, out = q + 4 * stride * p;
            float a_re = re[in], a_im = im[in];
            float b_re = re[in + quarter], b_im = im[in + quarter];
            float c_re = re[in + 2 * quarter], c_im = im[in + 2 * quarter];
            float d_re = re[in + 3 * quarter], d_im = im[in + 3 * quarter];
            float e_re = a_re + c_re, e_im = a_im + c_im, f_re = a_re - c_re, f_im = a_im - c_im;
            float g_re = b_re + d_re, g_im = b_im + d_im, h_re = b_re - d_re, h_im = b_im - d_im;
            out_re[out] = e_re + g_re;
            out_im[out] = e_im + g_im;
            float x_re = f_re + h_im, x_im = f_im - h_re;
            out_re[out + stride] = x_re * c1 - x_im * s1;
            out_im[out + stride] = x_re * s1 + x_im * c1;
            float y_re = e_re - g_re, y_im = e_im - g_im;
            out_re[out + 2 * stride] = y_re * c2 - y_im * s2;
            out_im[out + 2 * stride] = y_re * s2 + y_im * c2;
            float z_re = f_re - h_im, z_im = f_im + h_re;
            out_re[out + 3 * stride] = z_re * c3 - z_im * s3;
            out_im[out + 3 * stride] = z_re * s3 + z_im * c3;
        }
    }
}

void spectrum(const float *window, float *bin_powers) {
    float re[2][POINTS], im[2][POINTS];
    for (int n = 0; n < POINTS; n++) {
        re[0][n] = window[2 * n] * HANN[2 * n];
        im[0][n] = window[2 * n + 1] * HANN[2 * n + 1];
    }
    int from = 0;
    for (int stride = 1; stride < POINTS; stride *= 4, from ^= 1)
        radix4_pass(re[from], im[from], re[from ^ 1], im[from ^ 1], stride);
    const float *z_re = re[from], *z_im = im[from];

    bin_powers[0] = (z_re[0] + z_im[0]) * (z_re[0] + z_im[0]);
    for (int k = 1; k < BINS; k++) {   /* untangle the even and odd samples */
        int mirror = POINTS - k;
        float even_re = 0.5f * (z_re[k] + z_re[mirror]), even_im = 0.5f * (z_im[k] - z_im[mirror]);
        float odd_re = 0.5f * (z_im[k] + z_im[mirror]), odd_im = 0.5f * (z_re[mirror] - z_re[k]);
        float bin_re = even_re + odd_re * UNTANGLE_COS[k] - odd_im * UNTANGLE_SIN[k];
        float bin_im = even_im + odd_re * UNTANGLE_SIN[k] + odd_im * UNTANGLE_COS[k];
        bin_powers[k] = bin_re * bin_re + bin_im * bin_im;
    }
}
